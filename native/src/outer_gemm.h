// The micro-kernel of the weight gradients: c += sum over k of a[k, columns]^T b[k, panel]. Both sides run along k row by row,
// so a is broadcast from where it lies: nothing of it is transposed or packed.
#pragma once
#include "gemm.h"

namespace {

// MR columns of a from `column` on; all of the NV vectors are whole but the last, which has `last` elements that count.
template <class M, int MR, int NV, class T = typename M::Number, class E = typename M::Element>
void outer_block(const E* const* rows, int64_t column, int64_t depth, const E* b, T* c, int64_t ldc, int last) {
    constexpr int L = lanes<T>, C = chains<MR, NV>;
    Vec<T> sum[C][MR][NV];
#pragma GCC unroll 4
    for (int q = 0; q < C; ++q)
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
            for (int j = 0; j < NV; ++j) sum[q][r][j] = Vec<T>{};
    const auto add = [&](const E* a, int q) __attribute__((always_inline)) {
        typename M::Row panel[NV];
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) {
            panel[j] = M::load_row(b + j * L);
            RC_PIN(panel[j]);
            __builtin_prefetch(b + j * L + prefetch_distance<T>);
        }
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r) {
            const E value = a[r];
#pragma GCC unroll 4
            for (int j = 0; j < NV; ++j) sum[q][r][j] = M::multiply_add(sum[q][r][j], value, panel[j]);
        }
        b += NV * L;
    };
    int64_t k = 0;
    for (; k + C <= depth; k += C)
#pragma GCC unroll 4
        for (int q = 0; q < C; ++q) {
            __builtin_prefetch(rows[k + q + recell::outer_ahead] + column);
            add(rows[k + q] + column, q);
        }
    for (; k < depth; ++k) add(rows[k] + column, 0);
#pragma GCC unroll 8
    for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) {
#pragma GCC unroll 4
            for (int q = 1; q < C; ++q) sum[0][r][j] += sum[q][r][j];
            T* to = c + r * ldc + j * L;
            if (j < NV - 1 || last == L)
                store<T>(to, load<T>(to) + sum[0][r][j]);
            else
                store_part(to, load_part(to, last) + sum[0][r][j], last);
        }
}

template <class T, class E> using OuterBlock = void (*)(const E* const*, int64_t, int64_t, const E*, T*, int64_t, int);

template <class M, int NV>
constexpr OuterBlock<typename M::Number, typename M::Element> outer_blocks[block_rows] = {
    outer_block<M, 1, NV>, outer_block<M, 2, NV>, outer_block<M, 3, NV>, outer_block<M, 4, NV>, outer_block<M, 5, NV>, outer_block<M, 6, NV>};

// `columns` (1 to 6) columns of a from `column` on, `width` elements of b's panel. rows has `outer_ahead` readable entries more.
template <class M, class T = typename M::Number, class E = typename M::Element>
void outer(int columns, const E* const* rows, int64_t column, int64_t depth, const E* panel, int width, T* c, int64_t ldc) {
    const OuterBlock<T, E>* by_columns = outer_blocks<M, panel_vectors>;
    const int vectors = (width + lanes<T> - 1) / lanes<T>;
    switch (vectors) {
        case 1: by_columns = outer_blocks<M, 1>; break;
        case 2: by_columns = outer_blocks<M, 2>; break;
#if defined(__AVX512F__) || defined(__aarch64__)
        case 3: by_columns = outer_blocks<M, 3>; break;
#endif
        default: break;
    }
    by_columns[columns - 1](rows, column, depth, panel, c, ldc, width - (vectors - 1) * lanes<T>);
}

}  // namespace
