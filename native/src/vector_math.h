// exp, sigmoid and tanh on vectors: exp(x) = 2^n * exp(r), r = x - n ln 2, with a minimax polynomial for exp(r) - 1 = r + r^2
// q(r) on |r| <= ln(2)/2. Relative errors about 2e-7 (float) and 1e-15 (double); NaN passes, infinities and large values are
// right.
#pragma once
#include "simd.h"

namespace {

// Limits: beyond `lowest` and `highest`, 2^n alone flushes to 0 or overflows to infinity; beyond `denormal_end` even denormals
// are 0.
template <class T> struct ExpConstants;
template <> struct ExpConstants<float> {
    static constexpr float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
    static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f, log2e = 1.44269504088896341f;
    static constexpr float highest = 89.0f, lowest = -88.0f, denormal_end = -105.0f, tanh_limit = 20.0f;
    static constexpr float last_finite = 88.37f;  // up to here n <= 127; above, 2^n is infinite while exp(r) - 1 may be negative
    static constexpr int mantissa = 23, bias = 127;
    static constexpr float q[] = {0.5f, 0.16666573381900846f, 0.041666550110305124f, 0.0083637738744055735f, 0.001392692661402190648f};
};
template <> struct ExpConstants<double> {
    static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr double ln2_high = 6.93145751953125e-1, ln2_low = 1.42860682030941723212e-6, log2e = 1.44269504088896340736;
    static constexpr double highest = 710.0, lowest = -709.0, denormal_end = -746.0, tanh_limit = 44.0;
    static constexpr double last_finite = 709.43;
    static constexpr int mantissa = 52, bias = 1023;
    static constexpr double q[] = {0.5000000000000001128,     0.16666666666666667534,    0.041666666666620638584,
                                   0.0083333333333297934996,  0.0013888888918939167785,  0.00019841269864380513295,
                                   0.000024801518641395993583, 2.7557266418612303703e-6, 2.76213386691429238e-7,
                                   2.5101346928350340198e-8};
};

// Written so that a NaN stays: it compares false, and the third operand is x itself.
template <class T> RC_INLINE Vec<T> clamp(Vec<T> x, T low, T high) {
    x = x > high ? splat(high) : x;
    return x < low ? splat(low) : x;
}

// x -> exp(r) - 1 and n (in the low bits of `rounded`); x must be clamped.
template <class T> RC_INLINE Vec<T> reduced_expm1(Vec<T> x, Vec<T>& rounded) {
    using C = ExpConstants<T>;
    rounded = x * C::log2e + C::magic;
    Vec<T> n = rounded - C::magic;
    Vec<T> r = x - n * C::ln2_high;
    r = r - n * C::ln2_low;
    constexpr int degree = sizeof(C::q) / sizeof(T);
    Vec<T> q = splat(C::q[degree - 1]);
    for (int i = degree - 2; i >= 0; --i) q = q * r + C::q[i];
    return r * r * q + r;
}

template <class T> RC_INLINE Vec<T> power_of_two(Unsigned<T> n) {
    using C = ExpConstants<T>;
    return as_vector<T>((n + C::bias) << C::mantissa);
}

// Flushes to 0 below `lowest`, to infinity above `last_finite`: enough inside sigmoid, tanh and softmax.
template <class T> RC_INLINE Vec<T> exp_flushed(Vec<T> x) {
    using C = ExpConstants<T>;
    x = x > C::last_finite ? splat(C::highest) : x;  // exp(r) - 1 of `highest` is positive: no infinity less infinity
    Vec<T> rounded;
    Vec<T> m = reduced_expm1<T>(x < C::lowest ? splat(C::lowest) : x, rounded);
    Vec<T> scale = power_of_two<T>(as_bits<T>(rounded));
    return m * scale + scale;
}

// The whole range, denormals included: 2^n in two factors.
template <class T> RC_INLINE Vec<T> exp_full(Vec<T> x) {
    using C = ExpConstants<T>;
    Vec<T> rounded;
    Vec<T> m = reduced_expm1<T>(clamp<T>(x, C::denormal_end, C::highest), rounded);
    Int<T> n = (Int<T>)as_bits<T>(rounded) - (Int<T>)as_bits<T>(splat(C::magic));
    Int<T> half = n >> 1;
    return (m + T(1)) * power_of_two<T>((Unsigned<T>)half) * power_of_two<T>((Unsigned<T>)(n - half));
}

template <class T> RC_INLINE Vec<T> sigmoid(Vec<T> x) { return T(1) / (T(1) + exp_flushed<T>(-x)); }

// tanh(x) = e / (e + 2), e = expm1(2x): right relative to x near 0.
template <class T> RC_INLINE Vec<T> tanh(Vec<T> x) {
    using C = ExpConstants<T>;
    Vec<T> rounded;
    Vec<T> m = reduced_expm1<T>(clamp<T>(x + x, -C::tanh_limit, C::tanh_limit), rounded);
    Vec<T> scale = power_of_two<T>(as_bits<T>(rounded));
    Vec<T> e = m * scale + (scale - T(1));
    return e / (e + T(2));
}

// 2 atanh(s) = 2 (s + s^3/3 + s^5/5 + ...), with `terms` terms after the first.
template <class T, int terms> RC_INLINE Vec<T> twice_atanh(Vec<T> s) {
    Vec<T> square = s * s, series{};
    for (int n = terms; n > 0; --n) series = (series + T(1) / T(2 * n + 1)) * square;
    return (s + s) * series + (s + s);
}

// log(x) = e ln 2 + log(m), sqrt(1/2) <= m < sqrt(2), log(m) = 2 atanh((m - 1) / (m + 1)): right relative to log(x) near 1.
template <class T> RC_INLINE Vec<T> log(Vec<T> x) {
    using C = ExpConstants<T>;
    constexpr bool single = sizeof(T) == 4;
    constexpr T least_normal = single ? T(1.17549435e-38) : T(2.2250738585072014e-308), lift = single ? T(1 << 24) : T(1LL << 54);
    const Int<T> denormal = x < least_normal;
    const Unsigned<T> root = as_bits<T>(splat(T(0.70710678118654752440)));
    const Unsigned<T> bits = as_bits<T>(denormal ? x * lift : x) - root;
    const Unsigned<T> mask = ((Unsigned<T>{} + 1) << C::mantissa) - 1;
    const Vec<T> m = as_vector<T>((bits & mask) + root);
    Vec<T> e = __builtin_convertvector((Int<T>)bits >> C::mantissa, Vec<T>);
    e = denormal ? e - T(single ? 24 : 54) : e;
    const Vec<T> mantissa_log = twice_atanh<T, single ? 4 : 10>((m - T(1)) / (m + T(1)));
    Vec<T> y = e * C::ln2_high + (e * C::ln2_low + mantissa_log);
    y = x == T(0) ? splat(-T(__builtin_inf())) : y;
    y = x < T(0) ? splat(T(__builtin_nan(""))) : y;
    return ((x == T(__builtin_inf())) | (x != x)) ? x : y;
}

// log(1 + y) for 0 <= y <= 1.
template <class T> RC_INLINE Vec<T> log1p_unit(Vec<T> y) { return twice_atanh<T, sizeof(T) == 4 ? 6 : 16>(y / (y + T(2))); }

}  // namespace
