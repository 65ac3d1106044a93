// The C interface: makes models, contexts and searches, and sends each call to the functions of this machine's
// instruction set. Calls that can fail return null or a negative number; nothing throws across the border.
#include <cmath>
#include <cstring>
#include <new>

#include "native.h"
#include "pool.hpp"

Workspace::Workspace() = default;
Workspace::~Workspace() = default;

namespace {

int best_level() {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni"))
        return 2;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1 : 0;
}

int chosen_level = best_level();

const Functions& functions() { return chosen_level == 2 ? avx512_functions() : avx2_functions(); }

void put_rows(Buffer<float>& to, const float* from, int rows, int columns) {
    const size_t stride = row_stride(columns);
    to.grow(rows * stride);
    for (int r = 0; r < rows; ++r) std::memcpy(to.data() + r * stride, from + static_cast<size_t>(r) * columns, columns * sizeof(float));
}

void pack_floats(Linear& map, const float* weights) {
    const int panels = whole_panels(map.outputs);
    map.panels.grow(static_cast<size_t>(panels) * map.inputs * kPanel);
    for (int n = 0; n < map.outputs; ++n)
        for (int k = 0; k < map.inputs; ++k)
            map.panels[(static_cast<size_t>(n / kPanel) * map.inputs + k) * kPanel + n % kPanel] = weights[static_cast<size_t>(n) * map.inputs + k];
}

void pack_bytes(Linear& map, const float* weights) {
    const int panels = whole_panels(map.outputs), words = (map.inputs + 3) / 4;
    map.byte_panels.grow(static_cast<size_t>(panels) * words * kPanel * 4);
    map.byte_scale.grow(panels * kPanel);
    map.byte_offset.grow(panels * kPanel);
    for (int n = 0; n < map.outputs; ++n) {
        const float* row = weights + static_cast<size_t>(n) * map.inputs;
        float top = 0.0f;
        for (int k = 0; k < map.inputs; ++k) top = std::max(top, std::fabs(row[k]));
        const float step = top > 0 ? 127.0f / top : 0.0f;
        int total = 0;
        for (int k = 0; k < map.inputs; ++k) {
            const int q = static_cast<int>(std::nearbyint(row[k] * step));
            total += q;
            map.byte_panels[((static_cast<size_t>(n / kPanel) * words + k / 4) * kPanel + n % kPanel) * 4 + k % 4] = static_cast<int8_t>(q);
        }
        map.byte_scale[n] = top / 127.0f;
        map.byte_offset[n] = 128.0f * total;
    }
}

template <class Make>
auto guarded(Make make) -> decltype(make()) {
    try {
        return make();
    } catch (...) {
        return {};
    }
}

}  // namespace

#define ADGRAM_C extern "C" __attribute__((visibility("default")))

ADGRAM_C int adgram_abi() { return 5; }
ADGRAM_C int adgram_level() { return chosen_level; }
// Chooses a lesser instruction set (for tests); returns the level that is now in force.
ADGRAM_C int adgram_set_level(int level) {
    if (level >= 1 && level <= best_level()) chosen_level = level;
    return chosen_level;
}
ADGRAM_C double adgram_fma_peak(double seconds) { return functions().fma_peak(seconds); }

ADGRAM_C Linear* adgram_linear_new(const float* weights, const float* bias, int outputs, int inputs, int bytes, int keep_rows) {
    return guarded([&]() -> Linear* {
        auto map = std::make_unique<Linear>();
        map->inputs = inputs;
        map->outputs = outputs;
        map->bytes = bytes != 0;
        map->bias.grow(whole_panels(outputs) * kPanel);
        std::memcpy(map->bias.data(), bias, outputs * sizeof(float));
        pack_floats(*map, weights);
        if (bytes) pack_bytes(*map, weights);
        if (keep_rows) put_rows(map->rows, weights, outputs, inputs);
        return map.release();
    });
}
ADGRAM_C void adgram_linear_delete(Linear* map) { delete map; }

ADGRAM_C Workspace* adgram_workspace_new(int threads) {
    return guarded([&]() -> Workspace* {
        auto space = std::make_unique<Workspace>();
        if (threads > 1) space->pool = std::make_unique<Pool>(threads);
        return space.release();
    });
}
ADGRAM_C void adgram_workspace_delete(Workspace* space) { delete space; }

// y [rows, outputs] = x [rows, inputs] W' + b
ADGRAM_C int adgram_linear(const Linear* map, Workspace* space, const float* x, int rows, float* y) {
    return guarded([&] { functions().linear(*map, *space, x, rows, y); return 1; });
}

struct ModelParts {  // as the binding lays it out; pointers are read once, maps must outlive the model
    int32_t width, heads, levels, codes, longest, shared, prompt_layers, code_layers, tokens, first_code;
    float epsilon;
    const Linear* const* prompt;  // [prompt_layers, 4] qkv, out, up, down
    const Linear* const* code;    // [code_layers, 4]
    const Linear* const* head;    // [levels]
    const Linear* input;
    const Linear* query;
    const float* token;           // [tokens, width]
    const float* position;        // [longest + levels, width]
    const float* level;           // [levels, width] or null
    const float* norm_scale;      // [width] or null
    const float* norm_shift;
};

ADGRAM_C Model* adgram_model_new(const ModelParts* parts) {
    return guarded([&]() -> Model* {
        auto model = std::make_unique<Model>();
        model->width = parts->width;
        model->heads = parts->heads;
        model->levels = parts->levels;
        model->codes = parts->codes;
        model->longest = parts->longest;
        model->epsilon = parts->epsilon;
        model->shared = parts->shared != 0;
        model->tokens = parts->tokens;
        model->first_code = parts->first_code;
        const auto layer = [](const Linear* const* maps) { return Layer{maps[0], maps[1], maps[2], maps[3]}; };
        for (int l = 0; l < parts->prompt_layers; ++l) model->prompt.push_back(layer(parts->prompt + 4 * l));
        for (int l = 0; l < parts->code_layers; ++l) model->code.push_back(layer(parts->code + 4 * l));
        if (model->shared) model->code = model->prompt;
        for (int l = 0; l < parts->levels; ++l) model->head.push_back(parts->head[l]);
        model->input = parts->input;
        model->query = parts->query;
        put_rows(model->token, parts->token, parts->tokens, parts->width);
        put_rows(model->position, parts->position, parts->longest + parts->levels, parts->width);
        if (parts->level) put_rows(model->level, parts->level, parts->levels, parts->width);
        if (parts->norm_scale) {
            put_rows(model->norm_scale, parts->norm_scale, 1, parts->width);
            put_rows(model->norm_shift, parts->norm_shift, 1, parts->width);
        }
        if (model->shared) functions().tabulate(*model);
        return model.release();
    });
}
ADGRAM_C void adgram_model_delete(Model* model) { delete model; }

ADGRAM_C Context* adgram_context_new() { return guarded([]() -> Context* { return new Context; }); }
ADGRAM_C void adgram_context_delete(Context* context) { delete context; }

ADGRAM_C int adgram_prefill_tokens(const Model* model, Workspace* space, Context* context, const int64_t* tokens, int count) {
    return guarded([&] { functions().prefill_tokens(*model, *space, *context, tokens, count); return 1; });
}
ADGRAM_C int adgram_prefill_vectors(const Model* model, Workspace* space, Context* context, const float* vectors, int count, float* profile) {
    return guarded([&] {
        functions().prefill_vectors(*model, *space, *context, vectors, count);
        if (profile && model->query) std::memcpy(profile, context->profile.data(), model->query->outputs * sizeof(float));
        return 1;
    });
}

ADGRAM_C Search* adgram_search_new(const Model* model) {
    return guarded([&]() -> Search* {
        auto search = std::make_unique<Search>();
        search->parents.resize(model->levels + 1);
        search->suffix.resize(model->levels * model->code.size());
        return search.release();
    });
}
ADGRAM_C void adgram_search_delete(Search* search) { delete search; }
// Afterwards the search stands before its first level. With a trie it reads the living children itself: the trie, its arrays
// and `admitted` [items] (bytes 0 or 1, dead items 0) must then stay until its last step.
ADGRAM_C int adgram_search_begin(Search* search, const Trie* trie, const uint8_t* admitted, int64_t items) {
    return guarded([&] {
        search->level = 0;
        search->beams = 1;
        search->computed = search->masks_ns = 0;
        search->parents[0].assign(1, 0);
        search->codes.assign(1, 0);
        search->log_probs.assign(1, 0.0f);
        search->ranks.assign(1, 0.0f);
        search->prefixes.assign(1, 0);
        search->admission.trie = nullptr;
        if (trie) {
            const Stopwatch clock(search->masks_ns);
            functions().admit(search->admission, *trie, admitted, items);
        }
        return 1;
    });
}
// out [count, codes]: the living children of any prefixes of `level` codes, of a search that reads a trie.
ADGRAM_C void adgram_search_live(Search* search, const int64_t* prefixes, int count, int level, int codes, uint8_t* out) {
    const Stopwatch clock(search->masks_ns);
    functions().live_children(search->admission, prefixes, count, level, codes, out);
}
ADGRAM_C int64_t adgram_search_masks_ns(const Search* search) { return search->masks_ns; }
ADGRAM_C int64_t adgram_search_computed(const Search* search) { return search->computed; }

// One level of a search: live [beams, K] bytes 0 or 1, or null where the search reads a trie; lift [beams, K] or null; the outputs have room for `width`.
// effort: bits 1, 2, 4 for the three means of Effort. Returns the number of survivors, or -1 if it could not be done.
ADGRAM_C int adgram_step(const Model* model, Workspace* space, const Context* context, Search* search, const uint8_t* live,
                         const float* lift, int width, int effort, int64_t* parents, int64_t* codes, float* log_probs) {
    try {
        return functions().step(*model, *space, *context, *search, live, lift, width, Effort{(effort & 1) != 0, (effort & 2) != 0, (effort & 4) != 0},
                                Selected{parents, codes, log_probs});
    } catch (...) {
        return -1;
    }
}
