// Linear maps: tiles of rows against panels of packed weights, everything else folded into the tile's last moment.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "native.h"
#include "pool.hpp"
#include "simd.hpp"

namespace ADGRAM_SET {

enum class After { kNothing, kGelu, kAdd };  // what a linear map ends with; kAdd adds to what lies at the destination

constexpr int kVectors = kPanel / kLanes;          // vectors in a panel's row
constexpr int kTogether = kVectors < 2 ? kVectors : 2;  // of which a tile holds this many in registers

struct Tile {
    const void* a;        // activations: float, or four bytes a word
    long lda;             // in elements of the above
    const void* panel;    // first weight of the tile's columns
    const void* ahead;    // of the next panel, what this tile asks from memory while it works; nullptr for none
    int ahead_every;      // tiles that share the asking: a tile asks for two lines every so many steps
    int depth;            // steps along K (of one float, or four bytes)
    const float* scale;   // [rows] or nullptr
    const float* bias;    // at the tile's first column, or nullptr
    const float* byte_scale;
    const float* byte_offset;
    float* c;
    long ldc;
    int columns;          // of this tile that exist
};

// Works on R rows and kTogether vectors of columns, with all of K in registers.
template <int R, bool Bytes, After after>
void tile(const Tile& t) {
    using Total = typename std::conditional<Bytes, Ints, Floats>::type;
    using Word = typename std::conditional<Bytes, int32_t, float>::type;
    Total total[R][kTogether];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < kTogether; ++v) {
            if constexpr (Bytes) total[r][v] = int_zero();
            else total[r][v] = all(0.0f);
        }
    const Word* base[(R + 2) / 3];  // every third row has a pointer; the rest are reached by one or two strides
    for (int b = 0; b < (R + 2) / 3; ++b) base[b] = static_cast<const Word*>(t.a) + 3 * b * t.lda;
    const char* weights = static_cast<const char*>(t.panel);
    const char* ahead = static_cast<const char*>(t.ahead);
    int until_ahead = ahead ? 1 : t.depth + 1;
    for (int k = 0; k < t.depth; ++k) {
        if (--until_ahead == 0) {
            _mm_prefetch(ahead, _MM_HINT_T1);
            _mm_prefetch(ahead + 64, _MM_HINT_T1);
            ahead += kPanel * 4;
            until_ahead = t.ahead_every;
        }
        if constexpr (Bytes) {
            Ints w[kTogether];
            for (int v = 0; v < kTogether; ++v) w[v] = int_load(weights + v * kLanes * 4);
#pragma GCC unroll 14
            for (int r = 0; r < R; ++r) {
                const int32_t x = base[r / 3][(r % 3) * t.lda + k];
                for (int v = 0; v < kTogether; ++v) total[r][v] = dot_bytes(total[r][v], x, w[v]);
            }
        } else {
            Floats w[kTogether];
            for (int v = 0; v < kTogether; ++v) w[v] = load(reinterpret_cast<const float*>(weights) + v * kLanes);
#pragma GCC unroll 14
            for (int r = 0; r < R; ++r) {
                const Floats x = all(base[r / 3][(r % 3) * t.lda + k]);
                for (int v = 0; v < kTogether; ++v) total[r][v] = fma(x, w[v], total[r][v]);
            }
        }
        weights += kPanel * 4;
    }
    for (int r = 0; r < R; ++r) {
        float* c = t.c + r * t.ldc;
        float tail[kTogether * kLanes];
        const bool whole = t.columns >= kTogether * kLanes;
        float* to = whole ? c : tail;
        if (!whole && after == After::kAdd) std::memcpy(tail, c, t.columns * sizeof(float));
        for (int v = 0; v < kTogether; ++v) {
            Floats y;
            if constexpr (Bytes) y = mul(sub(to_floats(total[r][v]), load(t.byte_offset + v * kLanes)), load(t.byte_scale + v * kLanes));
            else y = total[r][v];
            const Floats b = t.bias ? load(t.bias + v * kLanes) : all(0.0f);
            y = t.scale ? fma(y, all(t.scale[r]), b) : add(y, b);
            if constexpr (after == After::kGelu) y = gelu(y);
            if constexpr (after == After::kAdd) y = add(y, load(to + v * kLanes));
            store(to + v * kLanes, y);
        }
        if (!whole) std::memcpy(c, tail, t.columns * sizeof(float));
    }
}

template <bool Bytes, After after>
void tile_of(int rows, const Tile& t) {
    switch (rows) {
        case 1: return tile<1, Bytes, after>(t);
        case 2: return tile<2, Bytes, after>(t);
        case 3: return tile<3, Bytes, after>(t);
        case 4: return tile<4, Bytes, after>(t);
        case 5: return tile<5, Bytes, after>(t);
        case 6: return tile<6, Bytes, after>(t);
#if defined(ADGRAM_AVX512)
        case 7: return tile<7, Bytes, after>(t);
        case 8: return tile<8, Bytes, after>(t);
        case 9: return tile<9, Bytes, after>(t);
        case 10: return tile<10, Bytes, after>(t);
        case 11: return tile<11, Bytes, after>(t);
        case 12: return tile<12, Bytes, after>(t);
        case 13: return tile<13, Bytes, after>(t);
        case 14: return tile<14, Bytes, after>(t);
#endif
        default: return;
    }
}

// All rows against the columns [first, last), which lie within one panel or begin at its start. Rows are dealt to tiles
// evenly, so that no tile is left with one row.
template <bool Bytes, After after>
void rows_by_panel(int rows, Tile t) {
    const Tile whole = t;
    const int tiles = (rows + kTileRows - 1) / kTileRows;
    for (int i = 0, row = 0; i < tiles; ++i) {
        const int here = (rows - row + tiles - i - 1) / (tiles - i);
        for (int v = 0; v < kVectors && v * kLanes < whole.columns; v += kTogether) {
            t = whole;
            t.a = static_cast<const char*>(whole.a) + 4 * row * whole.lda;
            t.panel = static_cast<const char*>(whole.panel) + v * kLanes * 4;
            const size_t asked = static_cast<size_t>(i) * ((whole.depth + tiles - 1) / tiles) * kPanel * 4;
            t.ahead = whole.ahead && v == 0 ? static_cast<const char*>(whole.ahead) + asked : nullptr;
            t.ahead_every = tiles;
            t.scale = whole.scale ? whole.scale + row : nullptr;
            t.bias = whole.bias ? whole.bias + v * kLanes : nullptr;
            if constexpr (Bytes) {
                t.byte_scale = whole.byte_scale + v * kLanes;
                t.byte_offset = whole.byte_offset + v * kLanes;
            }
            t.c = whole.c + row * whole.ldc + v * kLanes;
            t.columns = whole.columns - v * kLanes;
            tile_of<Bytes, after>(here, t);
        }
        row += here;
    }
}

// Runs part(begin, end) over [begin, end), shared among the workspace's threads.
template <class Part>
void shared_out(Workspace& space, int begin, int end, const Part& part) {
    if (!space.pool || end - begin < 2) return part(begin, end);
    const int threads = space.pool->threads();
    space.pool->run([&](int thread) {
        const int from = begin + (end - begin) * thread / threads, to = begin + (end - begin) * (thread + 1) / threads;
        if (from < to) part(from, to);
    });
}

// Each row as bytes + 128, the largest magnitude of the row being 127; factors [rows] say what one step is worth.
inline void to_bytes(const float* x, long stride, int rows, int columns, const float* scale, uint8_t* bytes, long byte_stride, float* factors) {
    for (int r = 0; r < rows; ++r) {
        const float* row = x + r * stride;
        int i = 0;
        Floats high = all(0.0f);
        for (; i + kLanes <= columns; i += kLanes) high = most(high, magnitude(load(row + i)));
        float top = highest(high);
        for (; i < columns; ++i) top = std::max(top, std::fabs(row[i]));
        const float step = top > 0 ? 127.0f / top : 0.0f;
        uint8_t* to = bytes + r * byte_stride;
        for (i = 0; i + kLanes <= columns; i += kLanes) store_bytes(to + i, add(rounded(mul(load(row + i), all(step))), all(128.0f)));
        for (; i < columns; ++i) to[i] = static_cast<uint8_t>(std::nearbyint(row[i] * step) + 128.0f);
        for (; i % 4; ++i) to[i] = 128;
        factors[r] = (top / 127.0f) * (scale ? scale[r] : 1.0f);
    }
}

// y[:, first:last] = after(scale * (x W') + b), computed from whole panels (so a few columns more may be written).
template <After after>
void linear(const Linear& map, Workspace& space, const float* x, long ldx, int rows, const float* scale, float* y, long ldy, int first, int last) {
    if (rows == 0) return;
    const int words = (map.inputs + 3) / 4;
    if (map.bytes) {
        space.bytes.grow(static_cast<size_t>(rows) * (words * 4 + 64));
        space.byte_scale.grow(rows);
        to_bytes(x, ldx, rows, map.inputs, scale, space.bytes.data(), words * 4 + 64, space.byte_scale.data());
    }
    shared_out(space, first / kPanel, whole_panels(last), [&](int begin, int end) {
        for (int p = begin; p < end; ++p) {
            Tile t{};
            t.bias = map.bias.data() + p * kPanel;
            t.c = y + p * kPanel;
            t.ldc = ldy;
            t.columns = std::min(kPanel, map.outputs - p * kPanel);
            if (map.bytes) {
                const int8_t* panel = map.byte_panels.data() + static_cast<size_t>(p) * words * kPanel * 4;
                t.a = space.bytes.data();
                t.lda = words + 16;
                t.panel = panel;
                t.ahead = p + 1 < end ? panel + static_cast<size_t>(words) * kPanel * 4 : nullptr;
                t.depth = words;
                t.scale = space.byte_scale.data();
                t.byte_scale = map.byte_scale.data() + p * kPanel;
                t.byte_offset = map.byte_offset.data() + p * kPanel;
                rows_by_panel<true, after>(rows, t);
            } else {
                const float* panel = map.panels.data() + static_cast<size_t>(p) * map.inputs * kPanel;
                t.a = x;
                t.lda = ldx;
                t.panel = panel;
                t.ahead = p + 1 < end ? panel + static_cast<size_t>(map.inputs) * kPanel : nullptr;
                t.depth = map.inputs;
                t.scale = scale;
                rows_by_panel<false, after>(rows, t);
            }
        }
    });
}

// 1 / sqrt(mean of squares + epsilon) of each row: what is left of a LayerNorm once its mean and its affine part are
// folded into the maps around it.
inline void norm_factors(const float* x, long stride, int rows, int columns, float epsilon, float* factors) {
    for (int r = 0; r < rows; ++r) {
        const float* row = x + r * stride;
        Floats squares = all(0.0f);
        int i = 0;
        for (; i + kLanes <= columns; i += kLanes) squares = fma(load(row + i), load(row + i), squares);
        float total = sum(squares);
        for (; i < columns; ++i) total += row[i] * row[i];
        factors[r] = 1.0f / std::sqrt(total / columns + epsilon);
    }
}

// Row r: to = factor * (one + other) + b, over `columns`.
inline void scaled_sum(const float* one, const float* other, float factor, const float* b, float* to, int columns) {
    int i = 0;
    for (; i + kLanes <= columns; i += kLanes) store(to + i, fma(all(factor), add(load(one + i), load(other + i)), load(b + i)));
    for (; i < columns; ++i) to[i] = factor * (one[i] + other[i]) + b[i];
}

inline void summed(const float* one, const float* other, float* to, int columns) {
    int i = 0;
    for (; i + kLanes <= columns; i += kLanes) store(to + i, add(load(one + i), load(other + i)));
    for (; i < columns; ++i) to[i] = one[i] + other[i];
}

inline float dot(const float* a, const float* b, int columns) {
    Floats total = all(0.0f);
    int i = 0;
    for (; i + kLanes <= columns; i += kLanes) total = fma(load(a + i), load(b + i), total);
    float rest = sum(total);
    for (; i < columns; ++i) rest += a[i] * b[i];
    return rest;
}

inline void add_scaled(float* to, float factor, const float* x, int columns) {
    int i = 0;
    for (; i + kLanes <= columns; i += kLanes) store(to + i, fma(all(factor), load(x + i), load(to + i)));
    for (; i < columns; ++i) to[i] += factor * x[i];
}

}  // namespace ADGRAM_SET
