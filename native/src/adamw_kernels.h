// AdamW on a piece of a tensor (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019):
//   m += (1 - beta1) (g - m)        v = beta2 v + (1 - beta2) g^2        w = kept w - stride m / (sqrt(v) unbias + epsilon)
#pragma once
#include "adamw_part.h"
#include "vector_math.h"

namespace {

#if defined(__AVX512F__)
// With a mask of all: GCC 12 warns of the plain ones.
RC_INLINE Vec<float> root_of(Vec<float> v) { return (Vec<float>)_mm512_maskz_sqrt_ps(__mmask16(-1), (__m512)v); }
RC_INLINE Vec<double> root_of(Vec<double> v) { return (Vec<double>)_mm512_maskz_sqrt_pd(__mmask8(-1), (__m512d)v); }
#elif defined(__AVX__)
RC_INLINE Vec<float> root_of(Vec<float> v) { return (Vec<float>)_mm256_sqrt_ps((__m256)v); }
RC_INLINE Vec<double> root_of(Vec<double> v) { return (Vec<double>)_mm256_sqrt_pd((__m256d)v); }
#else
RC_INLINE Vec<float> root_of(Vec<float> v) { return each<float>(v, [](float x) { return __builtin_sqrtf(x); }); }
RC_INLINE Vec<double> root_of(Vec<double> v) { return each<double>(v, [](double x) { return __builtin_sqrt(x); }); }
#endif

template <class T> struct AdamWFactors {
    explicit AdamWFactors(const recell::AdamWPart<T>& p)
        : scale(T(p.scale)), fresh(T(1 - p.beta1)), beta2(T(p.beta2)), fresh2(T(1 - p.beta2)), epsilon(T(p.epsilon)), kept(T(p.kept)),
          stride(T(p.stride)), unbias(T(p.unbias)) {}
    RC_INLINE void move(Vec<T>& w, Vec<T> g, Vec<T>& m, Vec<T>& v) const {
        g *= scale;
        m += fresh * (g - m);
        v = v * beta2 + fresh2 * g * g;
        w = w * kept - stride * m / (root_of(v) * unbias + epsilon);
    }
    T scale, fresh, beta2, fresh2, epsilon, kept, stride, unbias;
};

template <class T> void adamw_move(const recell::AdamWPart<T>& p) {
    const AdamWFactors<T> factors(p);
    int64_t i = 0;
    for (; i + lanes<T> <= p.count; i += lanes<T>) {
        Vec<T> w = load<T>(p.value + i), m = load<T>(p.mean + i), v = load<T>(p.square + i);
        factors.move(w, load<T>(p.gradient + i), m, v);
        store<T>(p.value + i, w), store<T>(p.mean + i, m), store<T>(p.square + i, v);
    }
    const int rest = int(p.count - i);
    if (!rest) return;
    Vec<T> w = load_part(p.value + i, rest), m = load_part(p.mean + i, rest), v = load_part(p.square + i, rest);
    factors.move(w, load_part(p.gradient + i, rest), m, v);
    store_part(p.value + i, w, rest), store_part(p.mean + i, m, rest), store_part(p.square + i, v, rest);
}

// In double from run to run of 1024: a sum of many small squares keeps its digits.
template <class T> double sum_of_squares(const T* a, int64_t count) {
    double total = 0;
    for (int64_t start = 0; start < count; start += 1024) {
        const int64_t end = start + 1024 < count ? start + 1024 : count;
        Vec<T> sums[4]{};
        int64_t i = start;
        for (; i + 4 * lanes<T> <= end; i += 4 * lanes<T>)
            for (int k = 0; k < 4; ++k) {
                const Vec<T> x = load<T>(a + i + k * lanes<T>);
                sums[k] += x * x;
            }
        const Vec<T> sum = sums[0] + sums[1] + (sums[2] + sums[3]);
        for (int k = 0; k < lanes<T>; ++k) total += double(sum[k]);
        for (; i < end; ++i) total += double(a[i]) * double(a[i]);
    }
    return total;
}

}  // namespace
