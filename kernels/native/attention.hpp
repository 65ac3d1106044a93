// Attention: a prompt over itself, and beams over one shared context and their own few tokens.
#pragma once

#include "ops.hpp"

namespace ADGRAM_SET {

inline size_t keys_size(int heads, int width, int tokens) { return static_cast<size_t>(heads) * whole_panels(tokens) * width * kPanel; }
inline size_t values_size(int heads, int width, int tokens) { return static_cast<size_t>(heads) * whole_panels(width) * tokens * kPanel; }

// Keys as [H][panels of tokens][E][32] and values as [H][panels of E][T][32], so that both products of attention are
// rows against panels.
inline void pack_context(const Model& model, const float* qkv, long stride, int tokens, Buffer<float>& keys, Buffer<float>& values) {
    const int heads = model.heads, width = model.head_width(), blocks = whole_panels(tokens), parts = whole_panels(width);
    keys.grow(keys_size(heads, width, model.longest));
    values.grow(values_size(heads, width, model.longest));
    for (int h = 0; h < heads; ++h) {
        float* to = keys.data() + static_cast<size_t>(h) * blocks * width * kPanel;
        for (int block = 0; block < blocks; ++block)
            for (int t = 0; t < kPanel; ++t) {
                const int token = block * kPanel + t;
                float* column = to + static_cast<size_t>(block) * width * kPanel + t;
                const float* from = qkv + token * stride + model.width + h * width;
                for (int e = 0; e < width; ++e) column[e * kPanel] = token < tokens ? from[e] : 0.0f;
            }
        for (int part = 0; part < parts; ++part)
            for (int t = 0; t < tokens; ++t) {
                const int columns = std::min(kPanel, width - part * kPanel);
                float* row = values.data() + ((static_cast<size_t>(h) * parts + part) * tokens + t) * kPanel;
                std::memcpy(row, qkv + t * stride + 2 * model.width + h * width + part * kPanel, columns * sizeof(float));
            }
    }
}

// scores [rows, 0:columns] = scale * query keys', for the first `columns` tokens.
inline void score(const float* query, long ldq, int rows, int width, const float* keys, int columns, const float* scale, float* scores, long lds) {
    for (int block = 0; block < whole_panels(columns); ++block) {
        Tile t{};
        t.a = query;
        t.lda = ldq;
        t.panel = keys + static_cast<size_t>(block) * width * kPanel;
        t.depth = width;
        t.scale = scale;
        t.c = scores + block * kPanel;
        t.ldc = lds;
        t.columns = kPanel;
        rows_by_panel<false, After::kNothing>(rows, t);
    }
}

// mixed [rows, E] = scale * weights[:, 0:tokens] values.
inline void mix(const float* weights, long ldw, int rows, int width, const float* values, int tokens, int all_tokens, const float* scale, float* mixed, long ldm) {
    for (int part = 0; part < whole_panels(width); ++part) {
        Tile t{};
        t.a = weights;
        t.lda = ldw;
        t.panel = values + static_cast<size_t>(part) * all_tokens * kPanel;
        t.depth = tokens;
        t.scale = scale;
        t.c = mixed + part * kPanel;
        t.ldc = ldm;
        t.columns = std::min(kPanel, width - part * kPanel);
        rows_by_panel<false, After::kNothing>(rows, t);
    }
}

// Afterwards row[0:count] holds e^(x - max); 1 / their sum is the answer. What lies beyond count up to a whole vector
// is written over.
inline float soften(float* row, int count) {
    for (int i = count; i % kLanes; ++i) row[i] = -INFINITY;
    Floats high = all(-INFINITY), total = all(0.0f);
    for (int i = 0; i < count; i += kLanes) high = most(high, load(row + i));
    const Floats top = all(highest(high));
    for (int i = 0; i < count; i += kLanes) {
        const Floats e = exponential(sub(load(row + i), top));
        total = add(total, e);
        store(row + i, e);
    }
    return 1.0f / sum(total);
}

constexpr int kRowsTogether = 56;  // rows of attention scored at once: their scores stay in the first cache

inline long score_stride(const Model& model) { return row_stride(model.longest + model.levels); }

// Rows [first, T) of the prompt over tokens 0 ... row: mixed [T - first, D].
inline void attend_prompt(const Model& model, Workspace& space, const float* qkv, long stride, int first, int tokens, const Context& context, int layer, float* mixed, long ldm) {
    const int width = model.head_width();
    const long lds = score_stride(model);
    space.scores.grow(static_cast<size_t>(model.heads) * kRowsTogether * (lds + 2));
    shared_out(space, 0, model.heads, [&](int from, int to) {
        for (int h = from; h < to; ++h) {
            const float* keys = context.keys[layer].data() + static_cast<size_t>(h) * whole_panels(tokens) * width * kPanel;
            const float* values = context.values[layer].data() + static_cast<size_t>(h) * whole_panels(width) * tokens * kPanel;
            float* scores = space.scores.data() + static_cast<size_t>(h) * kRowsTogether * (lds + 2);
            float* before = scores + kRowsTogether * lds;
            float* after = before + kRowsTogether;
            for (int row = first; row < tokens; row += kTileRows) {
                const int rows = std::min(kTileRows, tokens - row), seen = row + rows;
                std::fill_n(before, rows, 1.0f / std::sqrt(static_cast<float>(width)));
                score(qkv + row * stride + h * width, stride, rows, width, keys, seen, before, scores, lds);
                for (int r = 0; r < rows; ++r) {
                    after[r] = soften(scores + r * lds, row + r + 1);
                    for (int later = row + r + 1; later < seen; ++later) scores[r * lds + later] = 0.0f;
                }
                mix(scores, lds, rows, width, values, seen, tokens, after, mixed + (row - first) * ldm + h * width, ldm);
            }
        }
    });
}

// One new token a beam over the context and over the beam's own tokens, the newest included: mixed [W, D].
// own[s * rows + r] is where row r keeps key and value of its token s.
inline void attend_beams(const Model& model, Workspace& space, const float* qkv, long stride, int rows, const Context& context, int layer, const float* const* own, int own_tokens, float* mixed, long ldm) {
    const int width = model.head_width(), tokens = context.tokens;
    const long lds = score_stride(model);
    const float factor = 1.0f / std::sqrt(static_cast<float>(width));
    space.scores.grow(static_cast<size_t>(model.heads) * kRowsTogether * (lds + 2));
    shared_out(space, 0, model.heads, [&](int from, int to) {
        for (int h = from; h < to; ++h) {
            const float* keys = context.keys[layer].data() + static_cast<size_t>(h) * whole_panels(tokens) * width * kPanel;
            const float* values = context.values[layer].data() + static_cast<size_t>(h) * whole_panels(width) * tokens * kPanel;
            float* scores = space.scores.data() + static_cast<size_t>(h) * kRowsTogether * (lds + 2);
            float* before = scores + kRowsTogether * lds;
            float* after = before + kRowsTogether;
            for (int row = 0; row < rows; row += kRowsTogether) {
                const int here = std::min(kRowsTogether, rows - row);
                std::fill_n(before, here, factor);
                const float* query = qkv + row * stride + h * width;
                score(query, stride, here, width, keys, tokens, before, scores, lds);
                for (int r = 0; r < here; ++r) {
                    for (int s = 0; s < own_tokens; ++s)
                        scores[r * lds + tokens + s] = factor * dot(query + r * stride, own[s * rows + row + r] + h * width, width);
                    after[r] = soften(scores + r * lds, tokens + own_tokens);
                }
                float* to_row = mixed + row * ldm + h * width;
                mix(scores, lds, here, width, values, tokens, tokens, after, to_row, ldm);
                for (int r = 0; r < here; ++r)
                    for (int s = 0; s < own_tokens; ++s)
                        add_scaled(to_row + r * ldm, after[r] * scores[r * lds + tokens + s], own[s * rows + row + r] + model.width + h * width, width);
            }
        }
    });
}

}  // namespace ADGRAM_SET
