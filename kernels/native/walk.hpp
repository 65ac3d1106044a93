// The network, walked: a prompt once, then one step a level.
#pragma once

#include "attention.hpp"
#include "select.hpp"
#include "trie.hpp"

namespace ADGRAM_SET {

// The rest of a block once queries, keys and values stand: x += out(mixed); x += down(gelu(up(norm x))).
inline void finish_block(const Model& model, const Layer& layer, Workspace& space, float* x, int rows) {
    const long stride = model.stride(), wide = row_stride(layer.up->outputs);
    space.hidden.grow(static_cast<size_t>(rows) * wide);
    space.scale.grow(rows);
    linear<After::kAdd>(*layer.out, space, space.mixed.data(), stride, rows, nullptr, x, stride, 0, model.width);
    norm_factors(x, stride, rows, model.width, model.epsilon, space.scale.data());
    linear<After::kGelu>(*layer.up, space, x, stride, rows, space.scale.data(), space.hidden.data(), wide, 0, layer.up->outputs);
    linear<After::kAdd>(*layer.down, space, space.hidden.data(), wide, rows, nullptr, x, stride, 0, model.width);
}

inline void qkv_of(const Model& model, const Layer& layer, Workspace& space, const float* x, int rows, float* qkv, int first, int last) {
    space.scale.grow(rows);
    norm_factors(x, model.stride(), rows, model.width, model.epsilon, space.scale.data());
    linear<After::kNothing>(*layer.qkv, space, x, model.stride(), rows, space.scale.data(), qkv, row_stride(3 * model.width), first, last);
}

// The first layer's queries, keys and values of a sum of two embeddings, from tables of each one's own map: the map is
// linear once the norm is one factor.
inline void qkv_from_tables(const Model& model, const float* x, const float* one, const float* other, float* qkv) {
    float factor;
    norm_factors(x, model.stride(), 1, model.width, model.epsilon, &factor);
    scaled_sum(one, other, factor, model.prompt[0].qkv->bias.data(), qkv, 3 * model.width);
}

inline void prepare(const Model& model, Workspace& space, Context& context, int rows) {
    space.x.grow(static_cast<size_t>(rows) * model.stride());
    space.qkv.grow(static_cast<size_t>(rows) * row_stride(3 * model.width));
    space.mixed.grow(static_cast<size_t>(rows) * model.stride());
    context.keys.resize(model.prompt.size() + model.code.size());
    context.values.resize(model.prompt.size() + model.code.size());
    context.tokens = rows;
}

// Reads a prompt of tokens. Only the last row runs through what follows the last layer's keys and values.
inline void prefill_tokens(const Model& model, Workspace& space, Context& context, const int64_t* tokens, int count) {
    const long stride = model.stride(), wide = row_stride(3 * model.width);
    prepare(model, space, context, count);
    float* x = space.x.data();
    float* qkv = space.qkv.data();
    const int last_layer = static_cast<int>(model.prompt.size()) - 1;
    for (int r = 0; r < count; ++r) {
        summed(model.token.data() + tokens[r] * stride, model.position.data() + r * stride, x + r * stride, model.width);
        qkv_from_tables(model, x + r * stride, model.token_qkv.data() + tokens[r] * wide, model.position_qkv.data() + r * wide, qkv + r * wide);
    }
    for (int l = 0; l <= last_layer; ++l) {
        const Layer& layer = model.prompt[l];
        const bool last = l == last_layer;
        if (l > 0 && !last) qkv_of(model, layer, space, x, count, qkv, 0, 3 * model.width);
        if (l > 0 && last) {
            qkv_of(model, layer, space, x, count, qkv, model.width, 3 * model.width);
            qkv_of(model, layer, space, x + (count - 1) * stride, 1, qkv + (count - 1) * wide, 0, model.width);
        }
        pack_context(model, qkv, wide, count, context.keys[l], context.values[l]);
        const int first = last ? count - 1 : 0;
        attend_prompt(model, space, qkv, wide, first, count, context, l, space.mixed.data(), stride);
        finish_block(model, layer, space, x + first * stride, count - first);
    }
    const Linear& head = *model.head[0];
    context.logits.grow(row_stride(head.outputs));
    const float* newest = x + (count - 1) * stride;
    norm_factors(newest, stride, 1, model.width, model.epsilon, space.scale.data());
    linear<After::kNothing>(head, space, newest, stride, 1, space.scale.data(), context.logits.data(), row_stride(head.outputs), 0, head.outputs);
}

// to = scale * (x - mean) / deviation + shift, then without its mean, which no later norm would see. Returns the mean.
inline float normed(const Model& model, const float* x, float* to) {
    float factor, mean = 0.0f;
    norm_factors(x, model.stride(), 1, model.width, model.epsilon, &factor);
    for (int i = 0; i < model.width; ++i) {
        to[i] = factor * x[i] * model.norm_scale[i] + model.norm_shift[i];
        mean += to[i];
    }
    mean /= model.width;
    for (int i = 0; i < model.width; ++i) to[i] -= mean;
    return mean;
}

// Reads a history of vectors behind the token that starts every history; row 0 of `position` is that start.
inline void prefill_vectors(const Model& model, Workspace& space, Context& context, const float* vectors, int count) {
    const long stride = model.stride(), wide = row_stride(3 * model.width);
    const int rows = count + 1;
    prepare(model, space, context, rows);
    float* x = space.x.data();
    float* qkv = space.qkv.data();
    std::memcpy(x, model.position.data(), rows * stride * sizeof(float));
    linear<After::kAdd>(*model.input, space, vectors, model.input->inputs, count, nullptr, x + stride, stride, 0, model.width);
    for (size_t l = 0; l < model.prompt.size(); ++l) {
        qkv_of(model, model.prompt[l], space, x, rows, qkv, 0, 3 * model.width);
        pack_context(model, qkv, wide, rows, context.keys[0], context.values[0]);
        attend_prompt(model, space, qkv, wide, 0, rows, context, 0, space.mixed.data(), stride);
        finish_block(model, model.prompt[l], space, x, rows);
    }
    float mean = 0.0f;
    for (int r = 0; r < rows; ++r) mean = normed(model, x + r * stride, x + r * stride);
    context.state.grow(stride);
    std::memcpy(context.state.data(), x + (rows - 1) * stride, model.width * sizeof(float));
    for (size_t l = 0; l < model.code.size(); ++l) {
        qkv_of(model, model.code[l], space, x, rows, qkv, model.width, 3 * model.width);
        pack_context(model, qkv, wide, rows, context.keys[l], context.values[l]);
    }
    if (model.query) {
        float* newest = space.mixed.data();
        for (int i = 0; i < model.width; ++i) newest[i] = context.state[i] + mean;
        context.profile.grow(row_stride(model.query->outputs));
        linear<After::kNothing>(*model.query, space, newest, stride, 1, nullptr, context.profile.data(), row_stride(model.query->outputs), 0, model.query->outputs);
    }
}

// The part of x that all tokens of a level share.
inline void prepare_level(const Model& model, Workspace& space, const Context& context, int level) {
    space.base_x.grow(model.stride());
    if (model.shared) {
        std::memcpy(space.base_x.data(), model.position.data() + (context.tokens + level - 1) * model.stride(), model.width * sizeof(float));
    } else {
        summed(context.state.data(), model.level.data() + level * model.stride(), space.base_x.data(), model.width);
    }
}

// Runs the newest tokens of beams `rows` through the network: logits [rows, K] in space.logits.
inline void decode_rows(const Model& model, Workspace& space, const Context& context, Search& search, const int* rows, int count) {
    const long stride = model.stride(), wide = row_stride(3 * model.width), kept = row_stride(2 * model.width);
    const int level = search.level, layers = static_cast<int>(model.code.size());
    const int first_own = model.shared ? 1 : 0, own_tokens = level - first_own + 1;
    space.x.grow(count * stride);
    space.qkv.grow(count * wide);
    space.mixed.grow(count * stride);
    float* x = space.x.data();
    float* qkv = space.qkv.data();
    for (int r = 0; r < count; ++r) {
        if (level == 0) {
            std::memcpy(x + r * stride, space.base_x.data(), model.width * sizeof(float));
            continue;
        }
        const size_t token = model.first_code + static_cast<size_t>(level - 1) * model.codes + search.codes[rows[r]];
        summed(model.token.data() + token * stride, space.base_x.data(), x + r * stride, model.width);
        if (model.shared)
            qkv_from_tables(model, x + r * stride, model.token_qkv.data() + token * wide, model.position_qkv.data() + (context.tokens + level - 1) * wide, qkv + r * wide);
    }
    std::vector<const float*> own(static_cast<size_t>(own_tokens) * count);
    for (int l = 0; l < layers; ++l) {
        if (l > 0 || !model.shared) qkv_of(model, model.code[l], space, x, count, qkv, 0, 3 * model.width);
        float* newest = search.suffix[level * layers + l].data();
        for (int r = 0; r < count; ++r) {
            std::memcpy(newest + rows[r] * kept, qkv + r * wide + model.width, 2 * model.width * sizeof(float));
            for (int at = level, beam = rows[r]; at >= first_own; --at) {
                own[(at - first_own) * count + r] = search.suffix[at * layers + l].data() + beam * kept;
                beam = search.parents[at][beam];
            }
        }
        attend_beams(model, space, qkv, wide, count, context, l, own.data(), own_tokens, space.mixed.data(), stride);
        finish_block(model, model.code[l], space, x, count);
    }
    norm_factors(x, stride, count, model.width, model.epsilon, space.scale.data());
}

// Offers the children of rows whose states stand in space.x. Where few children live, only their logits are computed.
inline void offer_rows(const Model& model, Workspace& space, const Search& search, const uint8_t* live, const float* lift, const int* rows, int count, bool few, Best& best) {
    const Linear& head = *model.head[search.level];
    const long stride = model.stride(), ldl = row_stride(head.outputs);
    space.logits.grow(count * ldl);
    float* logits = space.logits.data();
    if (!few) linear<After::kNothing>(head, space, space.x.data(), stride, count, space.scale.data(), logits, ldl, 0, head.outputs);
    for (int r = 0; r < count; ++r) {
        const uint8_t* mask = live + static_cast<size_t>(rows[r]) * head.outputs;
        if (few)
            for (int k = 0; k < head.outputs; ++k)
                if (mask[k]) logits[r * ldl + k] = space.scale[r] * dot(space.x.data() + r * stride, head.rows.data() + k * stride, model.width) + head.bias[k];
        offer_children(logits + r * ldl, mask, lift ? lift + static_cast<size_t>(rows[r]) * head.outputs : nullptr, head.outputs, search.log_probs[rows[r]], static_cast<int64_t>(rows[r]) * head.outputs, best);
    }
}

// The masks of one level's beams: the caller's, or read from the trie for as many beams as are asked for.
class Masks {
   public:
    Masks(Workspace& space, Search& search, const uint8_t* live, int codes) : search_(search), codes_(codes), live_(live) {
        if (live) return;
        space.masks.grow(static_cast<size_t>(search.beams) * codes);
        live_ = own_ = space.masks.data();
    }
    const uint8_t* data() const { return live_; }
    const uint8_t* of(int beam) const { return live_ + static_cast<size_t>(beam) * codes_; }
    // Afterwards the masks of the first `beams` beams stand.
    void until(int beams) {
        if (!own_ || known_ >= beams) return;
        const Stopwatch clock(search_.masks_ns);
        live_children(search_.admission, search_.prefixes.data() + known_, beams - known_, search_.level, codes_, own_ + static_cast<size_t>(known_) * codes_);
        known_ = beams;
    }

   private:
    Search& search_;
    int codes_, known_ = 0;
    const uint8_t* live_;
    uint8_t* own_ = nullptr;
};

constexpr int kChunk = 28;  // beams computed before the bound is looked at again; two full tiles

// `live` is null where the search was told of its admission and reads the trie itself.
inline int step(const Model& model, Workspace& space, const Context& context, Search& search, const uint8_t* live, const float* lift, int width, Effort effort, Selected out) {
    const int level = search.level, beams = search.beams, layers = static_cast<int>(model.code.size());
    const int codes = model.head[level]->outputs;
    const bool last = level == model.levels - 1;
    Best best(width);
    Masks masks(space, search, live, codes);
    space.rows.clear();
    for (int b = 0; b < beams; ++b) {
        if (last && effort.skip_single) {
            masks.until(beams);
            const uint8_t* mask = masks.of(b);
            const int64_t count = count_live(mask, codes);
            if (count == 1) {
                const int64_t place = static_cast<int64_t>(b) * codes + (std::find(mask, mask + codes, 1) - mask);
                best.offer(search.log_probs[b], lift ? lift[place] : 0.0f, place);
            }
            if (count <= 1) continue;
        }
        space.rows.push_back(b);
    }
    for (int l = 0; l < layers; ++l) search.suffix[level * layers + l].grow(static_cast<size_t>(beams) * row_stride(2 * model.width));
    if (model.shared && level == 0) {
        const long ldl = row_stride(codes);
        space.logits.grow(ldl);
        std::memcpy(space.logits.data(), context.logits.data(), codes * sizeof(float));
        masks.until(1);
        if (!space.rows.empty() && count_live(masks.data(), codes)) offer_children(space.logits.data(), masks.data(), lift, codes, 0.0f, 0, best);
    } else if (!space.rows.empty()) {
        prepare_level(model, space, context, level);
        const int total = static_cast<int>(space.rows.size());
        for (int from = 0; from < total;) {
            best.cut();
            // Beams come sorted by rank, and no child ranks above its beam: none behind is better. The slack is for rounding.
            if (effort.bound && search.ranks[space.rows[from]] + 1e-5f < best.bar()) break;
            int to = total;
            if (effort.bound) {
                to = std::min(total, from + kChunk);
                if (total - to < kChunk / 2) to = total;
            }
            masks.until(space.rows[to - 1] + 1);
            int64_t alive = 0;
            int kept = from;  // a beam without a live child has nothing to offer
            for (int i = from; i < to; ++i) {
                const int64_t count = count_live(masks.of(space.rows[i]), codes);
                if (count) space.rows[kept++] = space.rows[i];
                alive += count;
            }
            const bool few = effort.live_only && alive * 16 < static_cast<int64_t>(kept - from) * codes;
            if (kept > from) {
                decode_rows(model, space, context, search, space.rows.data() + from, kept - from);
                offer_rows(model, space, search, masks.data(), lift, space.rows.data() + from, kept - from, few, best);
            }
            search.computed += kept - from;
            from = to;
        }
    }
    const std::vector<Child>& kept = best.sorted();
    const int found = static_cast<int>(kept.size());
    std::vector<int> parents(found);
    search.codes.resize(found);
    search.log_probs.resize(found);
    search.ranks.resize(found);
    for (int i = 0; i < found; ++i) {
        parents[i] = static_cast<int>(kept[i].place / codes);
        search.codes[i] = static_cast<int>(kept[i].place % codes);
        search.log_probs[i] = kept[i].log_prob;
        search.ranks[i] = kept[i].rank;
        out.parents[i] = parents[i];
        out.codes[i] = search.codes[i];
        out.log_probs[i] = search.log_probs[i];
    }
    if (search.admission.trie) {
        std::vector<int64_t> prefixes(found);
        for (int i = 0; i < found; ++i) prefixes[i] = search.prefixes[parents[i]] * search.admission.trie->codes + search.codes[i];
        search.prefixes = std::move(prefixes);
    }
    search.parents[level + 1] = std::move(parents);
    search.beams = found;
    search.level = level + 1;
    return found;
}

// Fills the tables of the first layer's map, in float32 sums of the rows as they are.
inline void tabulate(Model& model) {
    Workspace space;
    const Linear& qkv = *model.prompt[0].qkv;
    const long stride = model.stride(), wide = row_stride(3 * model.width);
    struct Table { const Buffer<float>& from; Buffer<float>& to; int rows; };
    for (const Table& table : {Table{model.token, model.token_qkv, model.tokens}, Table{model.position, model.position_qkv, model.longest + model.levels}}) {
        table.to.grow(table.rows * wide);
        for (int p = 0; p < whole_panels(qkv.outputs); ++p) {
            Tile t{};
            t.a = table.from.data();
            t.lda = stride;
            t.panel = qkv.panels.data() + static_cast<size_t>(p) * qkv.inputs * kPanel;
            t.depth = qkv.inputs;
            t.c = table.to.data() + p * kPanel;
            t.ldc = wide;
            t.columns = std::min(kPanel, qkv.outputs - p * kPanel);
            rows_by_panel<false, After::kNothing>(table.rows, t);
        }
    }
}

inline void dense(const Linear& map, Workspace& space, const float* x, int rows, float* y) {
    linear<After::kNothing>(map, space, x, map.inputs, rows, nullptr, y, map.outputs, 0, map.outputs);
}


}  // namespace ADGRAM_SET
