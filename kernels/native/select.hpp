// The last part of a step: log-softmax over live children, and the best W of all beams' children.
#pragma once

#include <limits>

#include "ops.hpp"

namespace ADGRAM_SET {

struct Child {
    float rank;  // log_prob + lift
    float log_prob;
    int64_t place;  // beam * K + code: the order of the trie, which settles ties
};

inline bool before(const Child& a, const Child& b) { return a.rank > b.rank || (a.rank == b.rank && a.place < b.place); }

// Keeps the best `width` children offered, in memory of twice that.
class Best {
   public:
    explicit Best(int width) : width_(width) { kept_.reserve(2 * width + 64); }
    // Nothing below this rank can be among the best any more. (Children of one rank may be offered in any order of place,
    // so equality passes.)
    float bar() const { return bar_; }
    void offer(float log_prob, float lift, int64_t place) {
        const float rank = log_prob + lift;
        if (!(rank >= bar_)) return;  // so written that NaN is refused too
        kept_.push_back({rank, log_prob, place});
        if (static_cast<int>(kept_.size()) >= 2 * width_ + 32) cut();
    }
    // Afterwards the bar is as high as all offers allow.
    void cut() {
        if (static_cast<int>(kept_.size()) < width_) return;
        std::nth_element(kept_.begin(), kept_.begin() + (width_ - 1), kept_.end(), before);
        kept_.resize(width_);
        bar_ = kept_.back().rank;
    }
    std::vector<Child>& sorted() {
        cut();
        std::sort(kept_.begin(), kept_.end(), before);
        return kept_;
    }

   private:
    int width_;
    float bar_ = -std::numeric_limits<float>::infinity();
    std::vector<Child> kept_;
};

inline int count_live(const uint8_t* live, int codes) {
    int count = 0;
    for (int k = 0; k < codes; ++k) count += live[k];
    return count;
}

// Offers every live child of one beam, its log-probability being the beam's own plus the log-softmax over live children.
// Dead children's logits are written over. lift [K] or nullptr is added to what a child is ranked by.
inline void offer_children(float* logits, const uint8_t* live, const float* lift, int codes, float log_prob, int64_t first_place, Best& best) {
    Floats high = all(-INFINITY);
    int k = 0;
    for (; k < codes; ++k)
        if (!live[k]) logits[k] = -INFINITY;
    for (; k % kLanes; ++k) logits[k] = -INFINITY;
    const int whole = k;
    for (k = 0; k < whole; k += kLanes) high = most(high, load(logits + k));
    const float top = highest(high);
    Floats total = all(0.0f);
    for (k = 0; k < whole; k += kLanes) total = add(total, exponential(sub(load(logits + k), all(top))));
    const float normal = top + std::log(sum(total));
    const float bar = best.bar();
    for (k = 0; k < whole; k += kLanes) {
        // A log-probability is never above zero, whatever rounding says; in this order NaN stays NaN.
        const Floats children = add(least(all(0.0f), sub(load(logits + k), all(normal))), all(log_prob));
        if (!lift && highest(children) < bar) continue;
        float found[kLanes];
        store(found, children);
        for (int i = 0; i < kLanes && k + i < codes; ++i)
            if (live[k + i]) best.offer(found[i], lift ? lift[k + i] : 0.0f, first_place + k + i);
    }
}

}  // namespace ADGRAM_SET
