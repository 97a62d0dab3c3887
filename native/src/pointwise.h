// The pointwise instructions: one functor an op, mapped over a tile of rows.
#pragma once
#include "coin.h"
#include "kernels.h"
#include "vector_math.h"

namespace {

using recell::Address;
using recell::CoinRow;

// 1.0 / 0.0 from a comparison's all-ones mask.
template <class T> RC_INLINE Vec<T> truth(Int<T> mask) { return as_vector<T>((Unsigned<T>)mask & as_bits<T>(splat(T(1)))); }

RC_INLINE float libm_sin(float x) { return __builtin_sinf(x); }
RC_INLINE double libm_sin(double x) { return __builtin_sin(x); }
RC_INLINE float libm_cos(float x) { return __builtin_cosf(x); }
RC_INLINE double libm_cos(double x) { return __builtin_cos(x); }
RC_INLINE float libm_sqrt(float x) { return __builtin_sqrtf(x); }
RC_INLINE double libm_sqrt(double x) { return __builtin_sqrt(x); }
RC_INLINE float libm_floor(float x) { return __builtin_floorf(x); }
RC_INLINE double libm_floor(double x) { return __builtin_floor(x); }
RC_INLINE float libm_fmod(float x, float y) { return __builtin_fmodf(x, y); }
RC_INLINE double libm_fmod(double x, double y) { return __builtin_fmod(x, y); }

// The remainder with the sign of the divisor, like NumPy.
template <class T> RC_INLINE T modulo(T a, T b) {
    T r = libm_fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

#define RC_UNARY(Name, expression)                                                                                             \
    template <class T> struct Name {                                                                                           \
        static RC_INLINE Vec<T> apply(Vec<T> a, Vec<T>, Vec<T>) { return expression; }                                         \
    };
#define RC_BINARY(Name, expression)                                                                                            \
    template <class T> struct Name {                                                                                           \
        static RC_INLINE Vec<T> apply(Vec<T> a, Vec<T> b, Vec<T>) { return expression; }                                       \
    };
#define RC_TERNARY(Name, expression)                                                                                           \
    template <class T> struct Name {                                                                                           \
        static RC_INLINE Vec<T> apply(Vec<T> a, Vec<T> b, Vec<T> c) { return expression; }                                     \
    };

RC_UNARY(Copy, a)
RC_UNARY(Neg, -a)
RC_UNARY(Sigmoid, sigmoid<T>(a))
RC_UNARY(Tanh, tanh<T>(a))
RC_UNARY(Relu, a < T(0) ? Vec<T>{} : a)  // NaN < 0 is false: it stays
RC_UNARY(Exp, exp_full<T>(a))
RC_UNARY(Log, log<T>(a))
RC_UNARY(Sqrt, each<T>(a, [](T x) { return libm_sqrt(x); }))
RC_UNARY(Abs, as_vector<T>(as_bits<T>(a) << 1 >> 1))
RC_UNARY(Sin, each<T>(a, [](T x) { return libm_sin(x); }))
RC_UNARY(Cos, each<T>(a, [](T x) { return libm_cos(x); }))
RC_UNARY(Floor, each<T>(a, [](T x) { return libm_floor(x); }))
RC_UNARY(Silu, a * sigmoid<T>(a))
RC_UNARY(Reciprocal, T(1) / a)
// max(a, 0) + log1p(exp(-|a|)): neither overflows nor loses a small result.
RC_UNARY(Softplus, (a < T(0) ? Vec<T>{} : a) + log1p_unit<T>(exp_flushed<T>(-Abs<T>::apply(a, a, a))))
RC_BINARY(Add, a + b)
RC_BINARY(Sub, a - b)
RC_BINARY(Mul, a * b)
RC_BINARY(Div, a / b)
// One multiply-add gives the exact remainder of a whole quotient, which rounding may have made one too large. Where the quotient
// is too large to be whole, or a lane is not finite, and where the machine has no multiply-add, each lane asks the C library.
template <class T> struct Mod {
    static RC_INLINE Vec<T> apply(Vec<T> a, Vec<T> b, Vec<T>) {
#if defined(__FMA__) || defined(__aarch64__)
        constexpr T most = sizeof(T) == 4 ? T(1 << 22) : T(int64_t(1) << 51);
        const Vec<T> quotient = a / b, nothing{};
        const Int<T> near = (Abs<T>::apply(quotient, a, b) < most) & (b - b == nothing);
        Int<T> far = ~(near | (b == nothing));
        for (int i = 1; i < lanes<T>; ++i) far[0] |= far[i];
        if (!far[0]) {
            const Vec<T> whole = Floor<T>::apply(quotient, a, b), rest = a - whole * b;
            const Int<T> beyond = (rest != nothing) & ((rest < nothing) ^ (b < nothing));
            return beyond ? a - (whole - T(1)) * b : b == nothing ? nothing / b : rest;
        }
#endif
        Vec<T> y{};
        for (int i = 0; i < lanes<T>; ++i) y[i] = modulo<T>(a[i], b[i]);
        return y;
    }
};
RC_BINARY(Maximum, ((a > b) | (a != a)) ? a : b)  // a NaN in either operand comes out
RC_BINARY(Minimum, ((a < b) | (a != a)) ? a : b)
RC_BINARY(Less, truth<T>(a < b))
RC_BINARY(LessEqual, truth<T>(a <= b))
RC_BINARY(Greater, truth<T>(a > b))
RC_BINARY(GreaterEqual, truth<T>(a >= b))
RC_BINARY(Equal, truth<T>(a == b))
RC_BINARY(NotEqual, truth<T>(a != b))
// Two ops in one pass: inner_outer; `rsub` takes the inner result from c.
RC_TERNARY(AddAdd, (a + b) + c)
RC_TERNARY(AddSub, (a + b) - c)
RC_TERNARY(AddRsub, c - (a + b))
RC_TERNARY(AddMul, (a + b) * c)
RC_TERNARY(SubAdd, (a - b) + c)
RC_TERNARY(SubSub, (a - b) - c)
RC_TERNARY(SubRsub, c - (a - b))
RC_TERNARY(SubMul, (a - b) * c)
RC_TERNARY(MulAdd, a * b + c)
RC_TERNARY(MulSub, a * b - c)
RC_TERNARY(MulRsub, c - a * b)
RC_TERNARY(MulMul, a * b * c)
// A derivative times the slope of sigmoid or tanh, of their value: the last operand.
RC_BINARY(MulSigmoidSlope, a * ((T(1) - b) * b))
RC_TERNARY(MulMulSigmoidSlope, a * b * ((T(1) - c) * c))
RC_BINARY(MulTanhSlope, a * (T(1) - b * b))
RC_TERNARY(MulMulTanhSlope, a * b * (T(1) - c * c))
RC_TERNARY(Where, a != T(0) ? b : c)

#undef RC_UNARY
#undef RC_BINARY
#undef RC_TERNARY

// Loads all operands of a vector before it stores: d may be one of them. Rows that lie one after the other are one long row.
template <class T, template <class> class F, int arity>
void map(int64_t rows, int64_t width, Address<T> d, const Address<T>& a, const Address<T>& b, const Address<T>& c) {
    const auto follows = [&](const Address<T>& x) { return (x.stride == width) | (x.along == 0); };
    if (d.stride == width && follows(a) && (arity < 2 || follows(b)) && (arity < 3 || follows(c))) {
        width *= rows;
        rows = 1;
    }
    const T *p = a.first, *q = b.first, *s = c.first;
    const int64_t pa = a.along, qa = b.along, sa = c.along;
    for (int64_t r = 0; r < rows; ++r, d.first += d.stride, p += a.stride, q += b.stride, s += c.stride) {
        int64_t i = 0;
        for (; i + lanes<T> <= width; i += lanes<T>)
            store<T>(d.first + i, F<T>::apply(load<T>(p + (i & pa)), load<T>(q + (i & qa)), load<T>(s + (i & sa))));
        if (i < width) {
            const int n = int(width - i);
            store_part(d.first + i, F<T>::apply(load_part(p + (i & pa), n), load_part(q + (i & qa), n), load_part(s + (i & sa), n)), n);
        }
    }
}

template <class T> void splat_rows(int64_t rows, int64_t width, Address<T> d, const Address<T>& a, const Address<T>&, const Address<T>&) {
    for (int64_t r = 0; r < rows; ++r, d.first += d.stride) {
        Vec<T> v = splat(a.first[r * a.stride]);
        int64_t i = 0;
        for (; i + lanes<T> <= width; i += lanes<T>) store<T>(d.first + i, v);
        if (i < width) store_part(d.first + i, v, int(width - i));
    }
}

template <class T> RC_INLINE T row_sum(const T* a, int64_t width) {
    Vec<T> total{};
    int64_t i = 0;
    for (; i + lanes<T> <= width; i += lanes<T>) total += load<T>(a + i);
    if (i < width) total += load_part(a + i, int(width - i));
    T sum = 0;
    for (int k = 0; k < lanes<T>; ++k) sum += total[k];
    return sum;
}

template <class T> RC_INLINE T row_max(const T* a, int64_t width) {
    T best = a[0];
    for (int64_t i = 1; i < width; ++i) best = ((a[i] > best) | (a[i] != a[i])) ? a[i] : best;
    return best;
}

// In these `width` is the operand's; the destination has width 1.
template <class T> void sum_rows(int64_t rows, int64_t width, Address<T> d, const Address<T>& a, const Address<T>&, const Address<T>&) {
    for (int64_t r = 0; r < rows; ++r) d.first[r * d.stride] = row_sum<T>(a.first + r * a.stride, width);
}
template <class T> void mean_rows(int64_t rows, int64_t width, Address<T> d, const Address<T>& a, const Address<T>&, const Address<T>&) {
    for (int64_t r = 0; r < rows; ++r) d.first[r * d.stride] = row_sum<T>(a.first + r * a.stride, width) / T(width);
}
template <class T> void max_rows(int64_t rows, int64_t width, Address<T> d, const Address<T>& a, const Address<T>&, const Address<T>&) {
    for (int64_t r = 0; r < rows; ++r) d.first[r * d.stride] = row_max<T>(a.first + r * a.stride, width);
}

template <class T> void softmax_row(int64_t width, T* d, const T* a) {
    const T largest = row_max<T>(a, width);
    int64_t i = 0;
    for (; i + lanes<T> <= width; i += lanes<T>) store<T>(d + i, exp_flushed<T>(load<T>(a + i) - largest));
    if (i < width) store_part(d + i, exp_flushed<T>(load_part(a + i, int(width - i)) - largest), int(width - i));
    const T scale = T(1) / row_sum<T>(d, width);
    for (i = 0; i < width; ++i) d[i] *= scale;
}
template <class T> void softmax_rows(int64_t rows, int64_t width, Address<T> d, const Address<T>& a, const Address<T>&, const Address<T>&) {
    for (int64_t r = 0; r < rows; ++r) softmax_row(width, d.first + r * d.stride, a.first + r * a.stride);
}

template <class T> void accumulate(int64_t rows, int64_t width, T* sum, const T* a, int64_t as) {
    int64_t i = 0;
    for (; i + lanes<T> <= width; i += lanes<T>) {
        Vec<T> total{};
        for (int64_t r = 0; r < rows; ++r) total += load<T>(a + r * as + i);
        store<T>(sum + i, load<T>(sum + i) + total);
    }
    if (i == width) return;
    const int n = int(width - i);
    Vec<T> total{};
    for (int64_t r = 0; r < rows; ++r) total += load_part(a + r * as + i, n);
    store_part(sum + i, load_part(sum + i, n) + total, n);
}

// d[u] += the sum over rows of a[r, u] b[r, u].
template <class T>
void accumulate_products(int64_t rows, int64_t width, Address<T> d, const Address<T>& a, const Address<T>& b, const Address<T>&) {
    int64_t i = 0;
    const auto add = [&](auto load, auto keep) {
        Vec<T> total{};
        const T *p = a.first + (i & a.along), *q = b.first + (i & b.along);
        for (int64_t r = 0; r < rows; ++r, p += a.stride, q += b.stride) total += load(p) * load(q);
        keep(d.first + i, load(d.first + i) + total);
    };
    for (; i + lanes<T> <= width; i += lanes<T>) add([](const T* x) { return load<T>(x); }, [](T* to, Vec<T> v) { store<T>(to, v); });
    const int n = int(width - i);
    if (n) add([n](const T* x) { return load_part(x, n); }, [n](T* to, Vec<T> v) { store_part(to, v, n); });
}

template <class T> void accumulate_all(int64_t rows, int64_t width, T* sum, const T* a, int64_t as) {
    T total = 0;
    for (int64_t r = 0; r < rows; ++r) total += row_sum<T>(a + r * as, width);
    sum[0] += total;
}

template <class T> void coin(CoinRow row, int64_t width, T* d) {
    for (int64_t i = 0; i < width; ++i) {
        const uint32_t h = coin_mix(coin_mix(row.hash ^ (row.unit + uint32_t(i))) ^ row.step);
        d[i] = h < row.threshold ? T(1) : T(0);
    }
}

}  // namespace
