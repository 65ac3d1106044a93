// The decode, compiled for AVX2 and FMA.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "native.h"
#include "pool.hpp"

#pragma GCC target("avx2,fma")
#include "peak.hpp"
#include "walk.hpp"

const Functions& avx2_functions() {
    using namespace avx2;
    static const Functions table{prefill_tokens, prefill_vectors, admit, live_children, step, tabulate, dense, fma_peak};
    return table;
}
