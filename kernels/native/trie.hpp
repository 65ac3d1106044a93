// The living children of a trie's nodes under one request's admission. The arrays are memory's own (memory/buckets.py).
#pragma once

#include "simd.hpp"

namespace ADGRAM_SET {

constexpr int kAtOnce = 3;  // leaves of a bucket looked at without a branch: SLOTS_BEHIND of core/snapshot.py
// Of so many items asked whether they are admitted, so many are: then a child's first leaf decides nearly always.
constexpr int kSamples = 64, kBroad = 61;
constexpr int64_t kThinShare = 12;  // a thin admission is no more than one item in so many
constexpr int kSorted = 32;  // keys of one first code from which on they are sorted and searched, not walked

// An admission that a sample calls broad is read as it is, byte by byte, without a look at all of it.
inline bool broad(const uint8_t* admitted, int64_t items) {
    const int64_t step = std::max<int64_t>(1, items / kSamples);
    int64_t asked = 0, found = 0;
    for (int64_t slot = 0; slot < items; slot += step, ++asked) found += admitted[slot];
    return found * kSamples >= asked * kBroad;
}

// Packs an admission into bits; returns how many are admitted.
inline int64_t pack_bits(const uint8_t* admitted, int64_t items, std::vector<uint32_t>& bits) {
    const int64_t words = items / 32;
    bits.resize(words + 1);
    int64_t count = 0;
    for (int64_t w = 0; w < words; ++w) {
        const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(admitted + 32 * w));
        bits[w] = ~static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_setzero_si256())));
        count += __builtin_popcount(bits[w]);
    }
    uint32_t rest = 0;
    for (int64_t slot = 32 * words; slot < items; ++slot) rest |= static_cast<uint32_t>(admitted[slot] != 0) << (slot - 32 * words);
    bits[words] = rest;
    return count + __builtin_popcount(rest);
}

// Calls `use(slot)` for each admitted item whose semantic ID is known, until it returns false.
template <class Use>
inline void each_admitted(const Admission& admission, Use use) {
    const Trie& trie = *admission.trie;
    for (size_t w = 0; w < admission.bits.size(); ++w)
        for (uint32_t word = admission.bits[w]; word; word &= word - 1) {
            const int64_t slot = 32 * static_cast<int64_t>(w) + __builtin_ctz(word);
            if (slot >= trie.known || !use(slot)) return;
        }
}

// The keys of the admitted items, grouped by their first code. An item without a semantic ID (-1) is passed by.
inline void gather_thin(Admission& admission, int64_t count) {
    const Trie& trie = *admission.trie;
    std::vector<int64_t>& found = admission.scratch;  // item slots, then keys
    found.clear();
    found.reserve(count);
    each_admitted(admission, [&](int64_t slot) {
        found.push_back(slot);
        __builtin_prefetch(trie.sids + slot * trie.levels);
        return true;
    });
    admission.groups.assign(trie.codes + 1, 0);
    admission.first_codes.clear();
    size_t kept = 0;
    for (const int64_t slot : found) {
        const int32_t* sid = trie.sids + slot * trie.levels;
        int64_t key = 0;
        for (int level = 0; level < trie.levels; ++level) key = key * trie.codes + sid[level];
        if (sid[0] < 0) continue;
        ++admission.groups[sid[0] + 1];
        admission.first_codes.push_back(sid[0]);
        found[kept++] = key;
    }
    for (int code = 0; code < trie.codes; ++code) admission.groups[code + 1] += admission.groups[code];
    admission.keys.resize(kept);
    admission.places.assign(admission.groups.begin(), admission.groups.end() - 1);
    for (size_t i = 0; i < kept; ++i) admission.keys[admission.places[admission.first_codes[i]]++] = found[i];
    for (int code = 0; code < trie.codes; ++code)
        if (admission.groups[code + 1] - admission.groups[code] > kSorted)
            std::sort(admission.keys.begin() + admission.groups[code], admission.keys.begin() + admission.groups[code + 1]);
}

// Afterwards the admission is ready for `live_children`. Its bytes and the trie's arrays must stay while it is used. Dead
// items must not be admitted: their number is what tells everything from less.
inline void admit(Admission& admission, const Trie& trie, const uint8_t* admitted, int64_t items) {
    admission.trie = &trie;
    admission.admitted = admitted;
    admission.items = items;
    admission.way = Admission::kBytes;
    if (items > trie.packed && broad(admitted, items)) return;
    const int64_t count = pack_bits(admitted, items, admission.bits);
    if (count == trie.leaves) {
        admission.way = Admission::kEverything;
    } else if (trie.sids && count <= trie.thin && count * kThinShare <= items) {
        gather_thin(admission, count);
        admission.way = Admission::kThin;
    } else {
        admission.way = Admission::kBits;
    }
}

// Three ways to ask whether leaves are admitted. (Gathers of eight at once were tried: 67 us where these loops take 36.)
struct ByBytes {
    const uint8_t* admitted;
    const int32_t* slots;
    bool one(int leaf) const { return admitted[slots[leaf]]; }
    void fetch(int leaf) const { __builtin_prefetch(slots + leaf); }
    // The first leaf decides nearly always.
    bool any_in(const int32_t* bucket) const {
        for (int leaf = bucket[0], end = bucket[0] + bucket[1]; leaf < end; ++leaf)
            if (one(leaf)) return true;
        return false;
    }
};

struct ByBits {
    const uint32_t* bits;
    const int32_t* slots;
    int32_t last;  // the greatest slot that this admission knows
    bool one(int leaf) const { return bits[slots[leaf] >> 5] >> (slots[leaf] & 31) & 1; }
    void fetch(int leaf) const { __builtin_prefetch(slots + leaf); }
    // Nobody can foretell what a thinner admission says: the first leaves are looked at without a branch. What lies behind a
    // bucket is another's leaf, or one being written: it is read once, kept in bounds, and not counted.
    bool any_in(const int32_t* bucket) const {
        const int first = bucket[0], count = bucket[1];
        uint32_t found = 0;
        for (int i = 0; i < kAtOnce; ++i) {
            const int32_t told = *const_cast<const volatile int32_t*>(slots + first + i);
            const int32_t slot = std::min(told, last);
            found |= bits[slot >> 5] >> (slot & 31) & static_cast<uint32_t>(count > i);
        }
        for (int leaf = first + kAtOnce; leaf < first + count && !(found & 1); ++leaf) found |= one(leaf);
        return found & 1;
    }
};

struct Everything {
    bool one(int) const { return true; }
    void fetch(int) const {}
    bool any_in(const int32_t* bucket) const { return bucket[1] > 0; }
};

// Where the leaves of a node lie.
struct Place {
    int64_t which, entry;  // its first bucket: an entry of this page of the root
    Place(const Trie& trie, int64_t first_key) : which(first_key / trie.span / trie.page), entry(first_key / trie.span % trie.page) {}
    const int32_t* ranges(const Trie& trie, int64_t further = 0) const {
        return trie.ranges + 2 * (static_cast<int64_t>(trie.page) * trie.root[which + further] + entry);
    }
    // The byte of `occupied` that holds the entry's bit.
    const uint8_t* occupied(const Trie& trie, int64_t further = 0) const {
        return trie.occupied + static_cast<int64_t>((trie.page + 7) / 8) * trie.root[which + further] + entry / 8;
    }
};

// out [codes], zeroed before: which children of the node at `first` hold an admitted leaf, `child` keys under each.
template <class Admitted>
inline void live_by(const Trie& trie, const Admitted& admitted, int64_t first, int64_t child, int codes, uint8_t* out) {
    const Place node(trie, first);
    const int32_t* mine = node.ranges(trie);
    if (child < trie.span) {  // the children share one bucket
        for (int leaf = mine[0], end = mine[0] + mine[1]; leaf < end; ++leaf) {
            const int64_t under = trie.keys[leaf] - first;
            if (under >= 0 && under < child * codes && admitted.one(leaf)) out[under / child] = 1;
        }
    } else if (child / trie.span < trie.page) {  // a child is one bucket or several, all in one page
        const int64_t per_child = child / trie.span;
        for (int64_t code = 0; code < codes; ++code)
            for (int64_t at = code * per_child; at < (code + 1) * per_child && !out[code]; ++at) out[code] = admitted.any_in(mine + 2 * at);
    } else {  // a child is one page or several
        const int64_t pages = child / trie.span / trie.page;
        for (int64_t code = 0; code < codes; ++code) __builtin_prefetch(node.ranges(trie, code * pages));
        for (int64_t code = 0; code < codes; ++code) admitted.fetch(*node.ranges(trie, code * pages));
        for (int64_t code = 0; code < codes; ++code)
            for (int64_t at = code * pages; at < (code + 1) * pages && !out[code]; ++at) {
                const int32_t* page = node.ranges(trie, at);
                for (int64_t in_page = 0; in_page < trie.page && !out[code]; ++in_page) out[code] = admitted.any_in(page + 2 * in_page);
            }
    }
}

// Writes eight bits as bytes 0 or 1.
inline void put_eight(uint32_t bits, uint8_t* out) {
    const uint64_t apart = (bits * 0x0101010101010101ull) & 0x8040201008040201ull;
    const uint64_t bytes = ((apart + 0x7f7f7f7f7f7f7f7full) >> 7) & 0x0101010101010101ull;
    std::memcpy(out, &bytes, 8);
}

// Whether the children of a node are buckets of one page, eight to a byte of `occupied`.
inline bool children_are_bits(const Trie& trie, int64_t child) { return child == trie.span && trie.page > 1 && trie.codes % 8 == 0; }

// As `live_by`, where every leaf is admitted.
inline void live_all(const Trie& trie, int64_t first, int64_t child, int codes, uint8_t* out) {
    const Place node(trie, first);
    if (children_are_bits(trie, child) && codes % 8 == 0) {
        const uint8_t* bits = node.occupied(trie);
        for (int code = 0; code < codes; code += 8) put_eight(bits[code / 8], out + code);
    } else if (child == trie.span * trie.page && trie.page % 64 == 0) {
        for (int code = 0; code < codes; ++code) {
            const uint8_t* bits = node.occupied(trie, code);
            uint64_t found = 0, word;
            for (int at = 0; at < trie.page / 8; at += 8) {
                std::memcpy(&word, bits + at, 8);
                found |= word;
            }
            out[code] = found != 0;
        }
    } else {
        live_by(trie, Everything{}, first, child, codes, out);
    }
}

// out [codes], zeroed before: the root's living children by the admitted items' own first codes, until all that have leaves
// are seen. A category that is not admitted would be looked at to its last leaf from the other side.
inline void live_roots(const Admission& admission, int64_t child, int codes, uint8_t* out) {
    const Trie& trie = *admission.trie;
    live_all(trie, 0, child, codes, out);
    int unseen = static_cast<int>(std::count(out, out + codes, 1));
    std::memset(out, 0, codes);
    each_admitted(admission, [&](int64_t slot) {
        const int32_t code = trie.sids[slot * trie.levels];
        if (code >= 0 && code < codes && !out[code]) {
            out[code] = 1;
            --unseen;
        }
        return unseen > 0;
    });
}

inline void live_thin(const Admission& admission, int64_t first, int level, int64_t child, int codes, uint8_t* out) {
    const std::vector<int32_t>& groups = admission.groups;
    if (level == 0) {
        for (int code = 0; code < codes; ++code) out[code] = groups[code + 1] > groups[code];
        return;
    }
    const int64_t group = first / admission.trie->first_span;
    auto key = admission.keys.begin() + groups[group];
    const auto end = admission.keys.begin() + groups[group + 1];
    const bool sorted = end - key > kSorted;
    if (sorted) key = std::lower_bound(key, end, first);
    for (; key < end; ++key) {
        const int64_t under = *key - first;
        if (under >= 0 && under < child * codes) out[under / child] = 1;
        if (sorted && under >= child * codes) return;
    }
}

// The keys under one node of `level` codes.
inline int64_t keys_under(const Trie& trie, int level) {
    int64_t keys = 1;
    for (int below = level; below < trie.levels; ++below) keys *= trie.codes;
    return keys;
}

// Asks the caches for what is read first of some nodes: it lies anywhere, and one node after another would wait for each.
// (Inlined by force: GCC takes a function that only asks for a pure one, and drops the call.)
__attribute__((always_inline)) inline void fetch(const Admission& admission, const int64_t* prefixes, int count, int64_t node, int64_t child) {
    const Trie& trie = *admission.trie;
    if (admission.way == Admission::kThin) return;
    const bool bits = admission.way == Admission::kEverything && children_are_bits(trie, child);
    for (int i = 0; i < count; ++i) {
        const Place place(trie, prefixes[i] * node);
        if (bits) __builtin_prefetch(place.occupied(trie));
        else __builtin_prefetch(place.ranges(trie));
    }
    for (int i = 0; i < count && node <= trie.span; ++i) {
        const int leaf = *Place(trie, prefixes[i] * node).ranges(trie);
        __builtin_prefetch(trie.keys + leaf);
        if (admission.way != Admission::kEverything) __builtin_prefetch(trie.slots + leaf);
    }
}

// out [count, codes]: whether each child of some prefixes of `level` codes holds an admitted leaf. Codes that the trie does
// not know are dead.
inline void live_children(const Admission& admission, const int64_t* prefixes, int count, int level, int codes, uint8_t* out) {
    const Trie& trie = *admission.trie;
    const int64_t child = keys_under(trie, level + 1), node = child * trie.codes;
    const int known = std::min(codes, trie.codes);
    std::memset(out, 0, static_cast<size_t>(count) * codes);
    fetch(admission, prefixes, count, node, child);
    for (int i = 0; i < count; ++i, out += codes) {
        const int64_t first = prefixes[i] * node;
        switch (admission.way) {
            case Admission::kThin: live_thin(admission, first, level, child, known, out); break;
            case Admission::kEverything: live_all(trie, first, child, known, out); break;
            case Admission::kBits:
                if (level == 0 && trie.sids) live_roots(admission, child, known, out);
                else live_by(trie, ByBits{admission.bits.data(), trie.slots, static_cast<int32_t>(admission.items - 1)}, first, child, known, out);
                break;
            case Admission::kBytes: live_by(trie, ByBytes{admission.admitted, trie.slots}, first, child, known, out); break;
        }
    }
}

}  // namespace ADGRAM_SET
