// The data of the compiled decode, and the table of functions that each instruction set fills.
// Letters as in kernels/reference.py: W beams, H heads, S suffix tokens, T context tokens, E head width, K codes, D width.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

constexpr int kPanel = 32;  // columns that are computed together; weights are stored panel by panel

inline int whole_panels(int columns) { return (columns + kPanel - 1) / kPanel; }
// Rows lie an odd number of cache lines apart, so that the rows of a tile do not fight for one set of the cache.
inline int row_stride(int columns) { return whole_panels(columns) * kPanel + 48; }

// 64-byte aligned memory, zeroed at birth.
template <class T>
class Buffer {
   public:
    Buffer() = default;
    explicit Buffer(size_t count) { grow(count); }
    // Afterwards at least `count` elements fit; what was inside is lost if it had to grow.
    void grow(size_t count);
    T* data() const { return data_.get(); }
    T& operator[](size_t i) const { return data_.get()[i]; }
    size_t size() const { return size_; }

   private:
    struct Free {
        void operator()(T* p) const { std::free(p); }
    };
    std::unique_ptr<T, Free> data_;
    size_t size_ = 0;
};

template <class T>
void Buffer<T>::grow(size_t count) {
    if (count <= size_) return;
    const size_t bytes = (count * sizeof(T) + 4096) & ~size_t{63};
    T* fresh = static_cast<T*>(std::aligned_alloc(64, bytes));
    if (!fresh) throw std::bad_alloc();
    for (size_t i = 0; i < bytes; ++i) reinterpret_cast<char*>(fresh)[i] = 0;
    data_.reset(fresh);
    size_ = count;
}

// y = x W' + b. Weights in panels of 32 outputs: fp32 [panel][K][32], int8 [panel][K / 4][32][4].
struct Linear {
    int inputs = 0, outputs = 0;
    Buffer<float> panels;
    Buffer<float> bias;         // [outputs], padded to whole panels with 0
    Buffer<float> rows;         // [outputs, row_stride(inputs)], kept only for heads, whose live rows may be few
    bool bytes = false;         // whether the int8 form is the one that runs
    Buffer<int8_t> byte_panels;
    Buffer<float> byte_scale;   // [outputs] what one step of a weight is worth
    Buffer<float> byte_offset;  // [outputs] 128 times the sum of the weights: activations are stored as byte + 128
};

// A pre-norm block. Norms are folded into the linear maps behind them and every map into the residual is centred, so that
// a norm is one factor a row: 1 / sqrt(mean of squares + epsilon).
struct Layer {
    const Linear* qkv = nullptr;  // outputs [q | k | v], each D
    const Linear* out = nullptr;
    const Linear* up = nullptr;
    const Linear* down = nullptr;
};

struct Model {
    int width = 0, heads = 0, levels = 0, codes = 0, longest = 0;  // longest: context tokens
    float epsilon = 0;
    bool shared = false;  // code tokens run through the prompt's own layers, over their keys and values
    std::vector<Layer> prompt;
    std::vector<Layer> code;                   // the prompt's layers again if shared
    std::vector<const Linear*> head;           // by level
    const Linear* input = nullptr;             // vectors to tokens; nullptr where prompts are tokens
    const Linear* query = nullptr;             // newest state to profile, or nullptr
    Buffer<float> token;                       // [tokens, row_stride(width)] centred embeddings (code tokens by level)
    Buffer<float> position;                    // [longest + levels, row_stride(width)] centred
    Buffer<float> level;                       // [levels, row_stride(width)] centred, only if not shared
    Buffer<float> norm_scale, norm_shift;      // of the states, only if not shared
    Buffer<float> token_qkv, position_qkv;     // the first layer's map of each, only if shared
    int tokens = 0;
    int first_code = 0;                        // row of `token` where level 0's codes begin
    int head_width() const { return width / heads; }
    int stride() const { return row_stride(width); }
};

// A prompt, read once: keys and values of every layer that code tokens run through.
struct Context {
    int tokens = 0;
    std::vector<Buffer<float>> keys;    // by layer [H][panels of 32 tokens][E][32]
    std::vector<Buffer<float>> values;  // by layer [H][panels of 32 of E][T][32]
    Buffer<float> state;                // [D] centred newest state, only if not shared
    Buffer<float> logits;               // [K] of the first code, only if shared
    Buffer<float> profile;              // [query outputs]
};

// One version of a trie, in memory's own arrays (core.snapshot.TrieArrays); whoever searches keeps it alive.
struct Trie {
    const int32_t* root;    // [R] the page of every `page` buckets
    const int32_t* ranges;  // [pages, page, 2] first leaf and count of each bucket
    const uint8_t* occupied;  // [pages, page / 8] whether each bucket has a leaf, as bits, lowest first
    const int64_t* keys;    // [leaves] packed semantic IDs
    const int32_t* slots;   // [leaves + 3] item slots
    const int32_t* sids;    // [known, levels] by item slot, or null; -1 where an item has none
    int64_t known;          // items that `sids` tells of
    int64_t span;           // keys a bucket
    int64_t first_span;     // keys under one first code
    int64_t leaves;         // of this version: living items
    int64_t packed;         // items up to which all of any admission is looked at
    int64_t thin;           // admitted items up to which they may be read from their own side
    int32_t page, codes, levels;
};

// What one request admits, in the form that is quickest to read.
struct Admission {
    enum Way { kEverything, kBytes, kBits, kThin };
    const Trie* trie = nullptr;         // nullptr where the caller tells which children live
    const uint8_t* admitted = nullptr;  // [items] bytes 0 or 1
    int64_t items = 0;
    Way way = kBytes;
    std::vector<uint32_t> bits;         // by item slot, not kBytes
    std::vector<int64_t> keys;          // of the admitted items by first code, only kThin
    std::vector<int32_t> groups;        // [codes + 1] where each first code's keys begin
    std::vector<int64_t> scratch;       // of whoever fills these
    std::vector<int32_t> first_codes, places;
};

// The beams of one search, and the keys and values of their own tokens.
struct Search {
    int level = 0, beams = 1;
    std::vector<std::vector<int>> parents;  // by level, [W] rows of the level before
    std::vector<int> codes;                 // [W] newest code of each beam
    std::vector<float> log_probs;           // [W]
    std::vector<float> ranks;               // [W] log_prob + lift, best first
    std::vector<int64_t> prefixes;          // [W] codes so far, packed as the trie packs them
    Admission admission;
    std::vector<Buffer<float>> suffix;      // by level * layers + layer: [W, 2 D] keys then values
    int64_t computed = 0;                   // rows that ran through the network since the search began
    int64_t masks_ns = 0;                   // what reading the trie took since then, the admission made ready included
};

// Adds the nanoseconds of its life to an account.
class Stopwatch {
   public:
    explicit Stopwatch(int64_t& account) : account_(account), began_(std::chrono::steady_clock::now()) {}
    ~Stopwatch() { account_ += std::chrono::nanoseconds(std::chrono::steady_clock::now() - began_).count(); }

   private:
    int64_t& account_;
    std::chrono::steady_clock::time_point began_;
};

// Scratch space of one thread of decoding.
struct Workspace {
    Buffer<float> x, qkv, mixed, hidden, scores, logits, scale, base_x;
    Buffer<uint8_t> bytes, masks;
    Buffer<float> byte_scale;
    std::vector<int> rows;
    std::unique_ptr<class Pool> pool;
    Workspace();
    ~Workspace();
};

struct Selected {  // where a step writes its survivors, best first
    int64_t* parents;
    int64_t* codes;
    float* log_probs;
};

struct Effort {  // what exactness allows to skip; all on when serving, off to measure what each brings
    bool skip_single = true;  // a beam with one live child at the last level: the child's probability is 1
    bool bound = true;        // a beam below the W-th candidate can have no child above it
    bool live_only = true;    // where few children live, only their logits
};

struct Functions {
    void (*prefill_tokens)(const Model&, Workspace&, Context&, const int64_t* tokens, int count);
    void (*prefill_vectors)(const Model&, Workspace&, Context&, const float* vectors, int count);
    void (*admit)(Admission&, const Trie&, const uint8_t* admitted, int64_t items);
    void (*live_children)(const Admission&, const int64_t* prefixes, int count, int level, int codes, uint8_t* out);
    int (*step)(const Model&, Workspace&, const Context&, Search&, const uint8_t* live, const float* lift, int width,
                Effort, Selected);
    void (*tabulate)(Model&);
    void (*linear)(const Linear&, Workspace&, const float* x, int rows, float* y);  // for tests; dense rows
    double (*fma_peak)(double seconds);
};

const Functions& avx2_functions();
const Functions& avx512_functions();
