// The decode, compiled for AVX-512 with VNNI.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "native.h"
#include "pool.hpp"

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")
#define ADGRAM_AVX512
#include "peak.hpp"
#include "walk.hpp"

const Functions& avx512_functions() {
    using namespace avx512;
    static const Functions table{prefill_tokens, prefill_vectors, admit, live_children, step, tabulate, dense, fma_peak};
    return table;
}
