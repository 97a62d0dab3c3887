// Vectors of one instruction set. Included only by kernels.cpp, which is compiled once per instruction set: everything is in an
// anonymous namespace, for a weak AVX-512 symbol must never be run by the baseline.
#pragma once
#include <cstdint>
#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

#define RC_INLINE inline __attribute__((always_inline))

template <class T> struct Simd;
template <> struct Simd<float> {
    typedef float V __attribute__((vector_size(vector_bytes)));
    typedef int32_t I __attribute__((vector_size(vector_bytes)));
    typedef uint32_t U __attribute__((vector_size(vector_bytes)));
};
template <> struct Simd<double> {
    typedef double V __attribute__((vector_size(vector_bytes)));
    typedef int64_t I __attribute__((vector_size(vector_bytes)));
    typedef uint64_t U __attribute__((vector_size(vector_bytes)));
};
template <class T> using Vec = typename Simd<T>::V;
template <class T> using Int = typename Simd<T>::I;
template <class T> using Unsigned = typename Simd<T>::U;
template <class T> constexpr int lanes = vector_bytes / int(sizeof(T));

template <class T> RC_INLINE Vec<T> load(const T* p) {
    Vec<T> v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
template <class T> RC_INLINE void store(T* p, Vec<T> v) { __builtin_memcpy(p, &v, sizeof v); }
template <class T> RC_INLINE Vec<T> splat(T s) { return Vec<T>{} + s; }
template <class T> RC_INLINE Vec<T> as_vector(Unsigned<T> u) { return (Vec<T>)u; }
template <class T> RC_INLINE Unsigned<T> as_bits(Vec<T> v) { return (Unsigned<T>)v; }

// The first n < lanes elements; the rest are zero. Memory beyond them is not touched.
#if defined(__AVX512F__)
RC_INLINE Vec<float> load_part(const float* p, int n) { return (Vec<float>)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
RC_INLINE Vec<double> load_part(const double* p, int n) { return (Vec<double>)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p); }
RC_INLINE void store_part(float* p, Vec<float> v, int n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v); }
RC_INLINE void store_part(double* p, Vec<double> v, int n) { _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v); }
#elif defined(__AVX2__)
RC_INLINE __m256i mask32(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
RC_INLINE __m256i mask64(int n) { return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)); }
RC_INLINE Vec<float> load_part(const float* p, int n) { return (Vec<float>)_mm256_maskload_ps(p, mask32(n)); }
RC_INLINE Vec<double> load_part(const double* p, int n) { return (Vec<double>)_mm256_maskload_pd(p, mask64(n)); }
RC_INLINE void store_part(float* p, Vec<float> v, int n) { _mm256_maskstore_ps(p, mask32(n), (__m256)v); }
RC_INLINE void store_part(double* p, Vec<double> v, int n) { _mm256_maskstore_pd(p, mask64(n), (__m256d)v); }
#else
template <class T> RC_INLINE Vec<T> load_part(const T* p, int n) {
    Vec<T> v{};
    for (int i = 0; i < n; ++i) v[i] = p[i];
    return v;
}
template <class T> RC_INLINE void store_part(T* p, Vec<T> v, int n) {
    for (int i = 0; i < n; ++i) p[i] = v[i];
}
#endif

// Applies a scalar function to every lane: for the functions that have no vector form here.
template <class T, class F> RC_INLINE Vec<T> each(Vec<T> a, F f) {
    Vec<T> y{};
    for (int i = 0; i < lanes<T>; ++i) y[i] = f(a[i]);
    return y;
}

}  // namespace
