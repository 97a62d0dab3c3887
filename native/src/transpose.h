// Transposition of a matrix in memory by squares of vectors: log2(lanes) rounds of zipping two vectors transpose one square in
// registers.
#pragma once
#include <cstddef>
#include <utility>

#include "simd.h"

namespace {

// a0 b0 a1 b1 ... of the first halves, or of the second halves.
template <class T, std::size_t first, std::size_t... i> RC_INLINE Vec<T> zip(Vec<T> a, Vec<T> b, std::index_sequence<i...>) {
    return __builtin_shufflevector(a, b, int(first + i / 2 + i % 2 * sizeof...(i))...);
}

// in[r][c] -> in[c][r]
template <class T> RC_INLINE void transpose_square(Vec<T>* in) {
    constexpr int L = lanes<T>;
    constexpr auto all = std::make_index_sequence<L>();
#pragma GCC unroll 4
    for (int round = 1; round < L; round *= 2) {
        Vec<T> out[L];
#pragma GCC unroll 8
        for (int i = 0; i < L / 2; ++i) {
            out[2 * i] = zip<T, 0>(in[i], in[i + L / 2], all);
            out[2 * i + 1] = zip<T, L / 2>(in[i], in[i + L / 2], all);
        }
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) in[i] = out[i];
    }
}

template <class T> void transpose_part(const T* source, int64_t lds, T* destination, int64_t ldd, int rows, int columns) {
    constexpr int L = lanes<T>;
    Vec<T> square[L];
    for (int r = 0; r < L; ++r) square[r] = r < rows ? (columns == L ? load<T>(source + r * lds) : load_part(source + r * lds, columns)) : Vec<T>{};
    transpose_square<T>(square);
    for (int c = 0; c < columns; ++c)
        if (rows == L)
            store<T>(destination + c * ldd, square[c]);
        else
            store_part(destination + c * ldd, square[c], rows);
}

template <class T> RC_INLINE void transpose_whole(const T* source, int64_t lds, T* destination, int64_t ldd) {
    constexpr int L = lanes<T>;
    Vec<T> square[L];
#pragma GCC unroll 16
    for (int r = 0; r < L; ++r) square[r] = load<T>(source + r * lds);
    transpose_square<T>(square);
#pragma GCC unroll 16
    for (int c = 0; c < L; ++c) store<T>(destination + c * ldd, square[c]);
}

template <class T>
void transpose(const T* source, int64_t lds, T* destination, int64_t ldd, int64_t rows, int64_t columns) {
    constexpr int64_t L = lanes<T>;
    for (int64_t r = 0; r < rows; r += L)
        for (int64_t c = 0; c < columns; c += L) {
            const T* from = source + r * lds + c;
            T* to = destination + c * ldd + r;
            if (r + L <= rows && c + L <= columns)
                transpose_whole<T>(from, lds, to, ldd);
            else
                transpose_part<T>(from, lds, to, ldd, int(r + L <= rows ? L : rows - r), int(c + L <= columns ? L : columns - c));
        }
}

}  // namespace
