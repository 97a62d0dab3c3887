// The micro-kernel: a block of rows times a panel of vectors, accumulators in registers, A broadcast from row pointers, B
// packed.
#pragma once
#include "kernels.h"
#include "products.h"

namespace {

using recell::Ahead;
using recell::Product;
using recell::Start;
using recell::Target;

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int panel_vectors = 4, block_rows = 6;  // 24 accumulators of 32 registers
#else
constexpr int panel_vectors = 2, block_rows = 6;  // 12 of 16
#endif

// GCC 12 loads B again for every row of a small block unless it must believe that the value changed.
#if defined(__x86_64__)
#define RC_PIN(v) asm("" : "+v"(v))
#elif defined(__aarch64__)
#define RC_PIN(v) asm("" : "+w"(v))
#else
#define RC_PIN(v) (void)0
#endif

// The panel streams from L2; the hardware's own prefetch comes too late. In elements.
template <class T> constexpr int prefetch_distance = int(recell::panel_ahead_bytes) / int(sizeof(T));

// Few accumulators leave the FMA pipeline idle: such blocks split k into several chains, added at the end.
template <int MR, int NV> constexpr int chains = MR * NV >= 6 ? 1 : MR * NV >= 3 ? 2 : 4;

// Sums all products for the MR rows from `first` on.
template <class M, int MR, int NV, class T = typename M::Number, class E = typename M::Element>
void block(const Product<E>* products, int count, int64_t first, const Target<T>& c, Start<T> start, Ahead* ahead) {
    constexpr int L = lanes<T>, C = chains<MR, NV>;
    Vec<T> sum[C][MR][NV];
#pragma GCC unroll 4
    for (int q = 0; q < C; ++q)
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
            for (int j = 0; j < NV; ++j) sum[q][r][j] = q == 0 && start.first ? load<T>(start.first + r * start.stride + j * L) : Vec<T>{};
    for (const Product<E>* p = products; p < products + count; ++p) {
        const E* b = p->panel;
        const int64_t depth = p->depth;
        const E* row[MR];
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r) row[r] = p->rows[first + r];
        const Ahead::Range next = C == 1 && ahead ? ahead->take(depth) : Ahead::Range{nullptr, 0};
        const char* line = next.line;
        int64_t k = 0;
        const auto steps = [&]<bool fetch>(int64_t end) __attribute__((always_inline)) {
            for (; k + C <= end; k += C) {
                if constexpr (fetch) {
                    __builtin_prefetch(line, 0, 2);
                    line += 64;
                }
#pragma GCC unroll 4
                for (int q = 0; q < C; ++q) {
                    typename M::Row panel[NV];
#pragma GCC unroll 4
                    for (int j = 0; j < NV; ++j) {
                        panel[j] = M::load_row(b + j * L);
                        RC_PIN(panel[j]);
                        __builtin_prefetch(b + j * L + prefetch_distance<T>);
                    }
#pragma GCC unroll 8
                    for (int r = 0; r < MR; ++r) {
                        const E value = row[r][k + q];
#pragma GCC unroll 4
                        for (int j = 0; j < NV; ++j) sum[q][r][j] = M::multiply_add(sum[q][r][j], value, panel[j]);
                    }
                    b += NV * L;
                }
            }
        };
        if constexpr (C == 1) steps.template operator()<true>(next.lines);
        steps.template operator()<false>(depth);
        for (; k < depth; ++k, b += NV * L)
#pragma GCC unroll 8
            for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
                for (int j = 0; j < NV; ++j) sum[0][r][j] = M::multiply_add(sum[0][r][j], row[r][k], M::load_row(b + j * L));
    }
#pragma GCC unroll 8
    for (int r = 0; r < MR; ++r) {
        T* to = c.row(first + r);
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) {
#pragma GCC unroll 4
            for (int q = 1; q < C; ++q) sum[0][r][j] += sum[q][r][j];
            store<T>(to + j * L, sum[0][r][j]);
        }
    }
}

template <class T, class E> using Block = void (*)(const Product<E>*, int, int64_t, const Target<T>&, Start<T>, Ahead*);

template <class M, int NV>
constexpr Block<typename M::Number, typename M::Element> blocks[block_rows] = {block<M, 1, NV>, block<M, 2, NV>, block<M, 3, NV>,
                                                                               block<M, 4, NV>, block<M, 5, NV>, block<M, 6, NV>};

// Equal blocks: 32 rows are 6, 6, 5, 5, 5, 5, never 5 x 6 and a slow 2.
template <class M, class T = typename M::Number, class E = typename M::Element>
void gemm(int64_t rows, const Product<E>* products, int count, int width, Target<T> c, Start<T> start, Ahead* ahead) {
    const Block<T, E>* by_rows = blocks<M, panel_vectors>;
    switch (width / lanes<T>) {
        case 1: by_rows = blocks<M, 1>; break;
        case 2: by_rows = blocks<M, 2>; break;
#if defined(__AVX512F__) || defined(__aarch64__)
        case 3: by_rows = blocks<M, 3>; break;
#endif
        default: break;
    }
    int64_t first = 0;
    for (int64_t left = (rows + block_rows - 1) / block_rows; left > 0; --left) {
        const int64_t take = (rows - first + left - 1) / left;
        const Start<T> own{start.first ? start.first + first * start.stride : nullptr, start.stride};
        by_rows[take - 1](products, count, first, c, own, ahead);
        first += take;
    }
}

// Twelve chains hide the latency of two FMA pipes. Every operand is pinned: a chain that starts at a fixed point of its own
// recurrence would be folded into a constant and still be counted.
template <class T> double fma_work(int64_t repeats, T* sink) {
    constexpr int count = 12;
    Vec<T> sum[count];
    Vec<T> a = splat(T(0.999)), b = splat(T(0.001));
    RC_PIN(a);
    RC_PIN(b);
#pragma GCC unroll 12
    for (int i = 0; i < count; ++i) {
        sum[i] = splat(T(i));
        RC_PIN(sum[i]);
    }
    for (int64_t n = 0; n < repeats; ++n)
#pragma GCC unroll 12
        for (int i = 0; i < count; ++i) sum[i] = sum[i] * a + b;
    for (int i = 1; i < count; ++i) sum[0] += sum[i];
    store<T>(sink, sum[0]);
    return 2.0 * count * lanes<T> * double(repeats);
}

}  // namespace
