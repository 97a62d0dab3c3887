// What a product's elements are. Plain ones are the program's own numbers; pairs are two bf16 in 32 bits, neighbours along k, whose two
// products are added to one float.
#pragma once
#include <cstring>

#include "simd.h"

namespace {

template <class T> struct Plain {
    using Number = T;
    using Element = T;
    using Row = Vec<T>;
    static RC_INLINE Row load_row(const Element* p) { return load<T>(p); }
    static RC_INLINE Vec<T> multiply_add(Vec<T> sum, Element a, Row b) { return sum + a * b; }
};

RC_INLINE Vec<float> low_half(Unsigned<float> pair) { return as_vector<float>(pair << 16); }
RC_INLINE Vec<float> high_half(Unsigned<float> pair) { return as_vector<float>(pair & 0xffff0000u); }

struct Pairs {
    using Number = float;
    using Element = uint32_t;
    using Row = Unsigned<float>;
    static RC_INLINE Row load_row(const Element* p) {
        Row r;
        __builtin_memcpy(&r, p, sizeof r);
        return r;
    }
    static RC_INLINE Vec<float> multiply_add(Vec<float> sum, Element a, Row b) {
        const Row both = Row{} + a;
#if defined(__AVX512BF16__)
        return (Vec<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)both, (__m512bh)b);
#else
        return sum + low_half(both) * low_half(b) + high_half(both) * high_half(b);
#endif
    }
};

// To the nearest bf16, ties to even; a NaN stays one. In the low 16 bits.
RC_INLINE Unsigned<float> to_bf16(Vec<float> v) {
    const Unsigned<float> bits = as_bits<float>(v);
    const Unsigned<float> rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const Unsigned<float> quiet = (bits >> 16) | 0x40u;
    return (Unsigned<float>)((Int<float>)(v != v) ? (Int<float>)quiet : (Int<float>)rounded);
}

// out[i] = a[i] in the low half, b[i] in the high one.
inline void pair_rows(const float* a, const float* b, int64_t width, uint32_t* out) {
    int64_t i = 0;
    for (; i + lanes<float> <= width; i += lanes<float>) {
        const Unsigned<float> both = to_bf16(load<float>(a + i)) | to_bf16(load<float>(b + i)) << 16;
        __builtin_memcpy(out + i, &both, sizeof both);
    }
    if (i == width) return;
    const int rest = int(width - i);
    const Unsigned<float> both = to_bf16(load_part(a + i, rest)) | to_bf16(load_part(b + i, rest)) << 16;
    __builtin_memcpy(out + i, &both, std::size_t(rest) * sizeof(uint32_t));
}

// out = neighbours of one row; an odd end is filled up with 0.
inline void pair_neighbours(const float* a, int64_t width, uint32_t* out) {
    int64_t i = 0;
    const auto pairs = [&](Vec<float> v, int64_t count) {
#if defined(__AVX512BF16__)
        const __m256bh narrow = _mm512_cvtneps_pbh((__m512)v);
        if (count == lanes<float>) return __builtin_memcpy(out + i / 2, &narrow, sizeof narrow), void();
#else
        const Unsigned<float> halves = to_bf16(v);
        uint16_t narrow[lanes<float>];
        for (int n = 0; n < lanes<float>; ++n) narrow[n] = uint16_t(halves[n]);
#endif
        __builtin_memcpy(out + i / 2, &narrow, std::size_t((count + 1) / 2) * sizeof(uint32_t));
    };
    for (; i + lanes<float> <= width; i += lanes<float>) pairs(load<float>(a + i), lanes<float>);
    if (i < width) pairs(load_part(a + i, int(width - i)), width - i);
}

}  // namespace
