// What one core can do at most: multiply-adds on registers alone.
#pragma once

#include <chrono>

#include "simd.hpp"

namespace ADGRAM_SET {

inline double fma_peak(double seconds) {
    using Clock = std::chrono::steady_clock;
    constexpr int kChains = 12, kTurns = 20000;
    Floats chain[kChains];
    for (int i = 0; i < kChains; ++i) chain[i] = all(1.0f + i);
    const Floats by = all(0.999999f), plus = all(1e-6f);
    double best = 0.0;
    const auto until = Clock::now() + std::chrono::duration<double>(seconds);
    do {
        const auto start = Clock::now();
        for (int turn = 0; turn < kTurns; ++turn)
#pragma GCC unroll 12
            for (int i = 0; i < kChains; ++i) chain[i] = fma(chain[i], by, plus);
        const double took = std::chrono::duration<double>(Clock::now() - start).count();
        best = std::max(best, 2.0 * kLanes * kChains * kTurns / took / 1e9);
    } while (Clock::now() < until);
    Floats total = chain[0];
    for (int i = 1; i < kChains; ++i) total = add(total, chain[i]);
    volatile float kept = sum(total);  // so that the compiler cannot drop the chains
    (void)kept;
    return best;
}

}  // namespace ADGRAM_SET
