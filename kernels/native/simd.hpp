// One vector type and the few operations the decode needs, for the instruction set that the including file was
// compiled for: 16 lanes of AVX-512, or 8 of AVX2. Everything lives in a namespace of that set's own name.
#pragma once

#include <immintrin.h>

#include <cstdint>

#if defined(ADGRAM_AVX512)
#define ADGRAM_SET avx512
#else
#define ADGRAM_SET avx2
#endif

namespace ADGRAM_SET {

#if defined(ADGRAM_AVX512)
using Floats = __m512;
// Of the lanes' own type and not __m512i: GCC keeps an array of those in memory, since it reads them as lanes elsewhere.
using Ints = int32_t __attribute__((vector_size(64)));
constexpr int kLanes = 16;
constexpr int kTileRows = 14;  // 14 x 2 accumulators, 2 weights and a broadcast fill 31 of 32 registers

inline Floats load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Floats v) { _mm512_storeu_ps(p, v); }
inline Floats all(float v) { return _mm512_set1_ps(v); }
inline Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
inline Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
inline Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats most(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline Floats least(Floats a, Floats b) { return _mm512_min_ps(a, b); }
inline Floats magnitude(Floats a) { return _mm512_abs_ps(a); }
inline float sum(Floats v) { return _mm512_reduce_add_ps(v); }
inline float highest(Floats v) { return _mm512_reduce_max_ps(v); }
inline Floats quotient(Floats a, Floats b) {
    Floats r = _mm512_rcp14_ps(b);  // one Newton step takes 14 bits to 23
    r = mul(r, _mm512_fnmadd_ps(b, r, all(2.0f)));
    return mul(a, r);
}
inline Floats rounded(Floats v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Floats times_power_of_two(Floats v, Floats power) { return _mm512_scalef_ps(v, power); }
inline Ints int_zero() { return (Ints)_mm512_setzero_si512(); }
inline Ints int_load(const void* p) { return (Ints)_mm512_loadu_si512(p); }
inline Floats to_floats(Ints v) { return _mm512_cvtepi32_ps((__m512i)v); }
// Four products of an unsigned and a signed byte are added to each 32-bit lane.
inline Ints dot_bytes(Ints total, int32_t four_activations, Ints weights) {
    return (Ints)_mm512_dpbusd_epi32((__m512i)total, _mm512_set1_epi32(four_activations), (__m512i)weights);
}
inline void store_bytes(uint8_t* p, Floats v) {  // v in 0 ... 255
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtusepi32_epi8(_mm512_cvtps_epu32(v)));
}
#else
using Floats = __m256;
using Ints = __m256i;
constexpr int kLanes = 8;
constexpr int kTileRows = 6;  // 6 x 2 accumulators, 2 weights and a broadcast fill 15 of 16 registers

inline Floats load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, Floats v) { _mm256_storeu_ps(p, v); }
inline Floats all(float v) { return _mm256_set1_ps(v); }
inline Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
inline Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
inline Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
inline Floats most(Floats a, Floats b) { return _mm256_max_ps(a, b); }
inline Floats least(Floats a, Floats b) { return _mm256_min_ps(a, b); }
inline Floats magnitude(Floats a) { return _mm256_andnot_ps(all(-0.0f), a); }
inline __m128 folded(__m128 v) { return _mm_movehl_ps(v, v); }
inline float sum(Floats v) {
    __m128 h = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    h = _mm_add_ps(h, folded(h));
    return _mm_cvtss_f32(_mm_add_ss(h, _mm_shuffle_ps(h, h, 1)));
}
inline float highest(Floats v) {
    __m128 h = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    h = _mm_max_ps(h, folded(h));
    return _mm_cvtss_f32(_mm_max_ss(h, _mm_shuffle_ps(h, h, 1)));
}
inline Floats quotient(Floats a, Floats b) { return _mm256_div_ps(a, b); }
inline Floats rounded(Floats v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Floats times_power_of_two(Floats v, Floats power) {
    const Ints exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(power), _mm256_set1_epi32(127)), 23);
    return mul(v, _mm256_castsi256_ps(exponent));
}
inline Ints int_zero() { return _mm256_setzero_si256(); }
inline Ints int_load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline Floats to_floats(Ints v) { return _mm256_cvtepi32_ps(v); }
// AVX2's own byte product saturates at 16 bits, so both sides are widened first: slower, and exact.
inline Ints dot_bytes(Ints total, int32_t four_activations, Ints weights) {
    const Ints activations = _mm256_cvtepu8_epi16(_mm_set1_epi32(four_activations));
    const Ints low = _mm256_madd_epi16(activations, _mm256_cvtepi8_epi16(_mm256_castsi256_si128(weights)));
    const Ints high = _mm256_madd_epi16(activations, _mm256_cvtepi8_epi16(_mm256_extracti128_si256(weights, 1)));
    return _mm256_add_epi32(total, _mm256_permute4x64_epi64(_mm256_hadd_epi32(low, high), 0xD8));
}
inline void store_bytes(uint8_t* p, Floats v) {
    const Ints whole = _mm256_cvtps_epi32(v);
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
}
#endif

// e^v to 3e-7 of itself, for v <= 88; anything below -87 gives e^-87, which is nothing.
inline Floats exponential(Floats v) {
    v = most(v, all(-87.0f));
    const Floats power = rounded(mul(v, all(1.4426950408889634f)));
    Floats f = fma(power, all(-0.693145751953125f), v);  // ln 2 in two parts, so that the remainder is exact
    f = fma(power, all(-1.428606820309417e-6f), f);
    Floats p = all(1.3888889e-3f);
    p = fma(p, f, all(8.3333333e-3f));
    p = fma(p, f, all(4.1666667e-2f));
    p = fma(p, f, all(1.6666667e-1f));
    p = fma(p, f, all(0.5f));
    p = fma(p, f, all(1.0f));
    p = fma(p, f, all(1.0f));
    return times_power_of_two(p, power);
}

// The exact (erf) form of GELU, to 1e-6: x * (1/2 + c * P(c^2) / Q(c^2)), c being x held within +-5.4, where the
// normal distribution function is 0 or 1 to float32. P / Q was fitted to (Phi(x) - 1/2) / x by least squares.
inline Floats gelu(Floats x) {
    const Floats c = most(least(x, all(5.4f)), all(-5.4f));
    const Floats z = mul(c, c);
    Floats p = all(2.281969914e-08f);
    p = fma(p, z, all(6.467191447e-06f));
    p = fma(p, z, all(1.746917529e-04f));
    p = fma(p, z, all(4.713138532e-03f));
    p = fma(p, z, all(3.435022402e-02f));
    p = fma(p, z, all(3.989421112e-01f));
    Floats q = all(1.208132804e-06f);
    q = fma(q, z, all(7.593277411e-05f));
    q = fma(q, z, all(1.916892658e-03f));
    q = fma(q, z, all(2.894500531e-02f));
    q = fma(q, z, all(2.527679651e-01f));
    q = fma(q, z, all(1.0f));
    return mul(x, fma(c, quotient(p, q), all(0.5f)));
}

}  // namespace ADGRAM_SET
