// What one instruction set provides to the engine: a table of functions on raw pointers. The engine itself is compiled once,
// for the baseline, and calls through this table.
#pragma once
#include <cstdint>

#include "crf_job.h"
#include "ctc_row.h"
#include "ops.h"

namespace recell {

// Where an operand's rows lie.
template <class T> struct Address {
    T* first;
    int64_t stride;  // between rows; 0: the row is broadcast
    int64_t along;   // all ones; 0: a constant, every element is the first
};

// One pointwise instruction on a tile of rows x width. d may be an operand of the same stride. An instruction of fewer operands
// gets its first again.
template <class T>
using PointFunction = void (*)(int64_t rows, int64_t width, Address<T> d, const Address<T>& a, const Address<T>& b, const Address<T>& c);

// One matrix product of a sum: row pointers, their length, and one weight panel packed [k][width], 64-byte aligned.
template <class T> struct Product {
    const T* const* rows;
    int64_t depth;
    const T* panel;
};

// The counter generator's inputs below the row, folded into one hash (coin.h).
struct CoinRow {
    uint32_t hash, unit, step;
    uint64_t threshold;
};

// Memory that will be read or written next, brought near while a product computes: one line a step of k, so that the requests
// never crowd out the product's own. A hint alone; nothing is read.
struct Ahead {
    static constexpr int most = 192;
    struct Range {
        const char* line;
        int64_t lines;
    };
    Range ranges[most];
    int count = 0, at = 0;

    void clear() { count = at = 0; }
    void add(const void* first, int64_t bytes) {
        if (count < most && bytes > 0) ranges[count++] = {static_cast<const char*>(first), (bytes + 63) / 64};
    }
    // Up to `lines` lines of one range.
    Range take(int64_t lines) {
        while (at < count && ranges[at].lines == 0) ++at;
        if (at == count) return {nullptr, 0};
        Range& r = ranges[at];
        const Range taken{r.line, lines < r.lines ? lines : r.lines};
        r.line += taken.lines * 64;
        r.lines -= taken.lines;
        return taken;
    }
};

// What a sum starts from: rows `stride` apart (0: one row for all, a bias), or zero where `first` is null.
template <class T> struct Start {
    const T* first;
    int64_t stride;
};

// Where sums go: rows `stride` apart, or, with `rows`, each where its pointer says. From `column` on.
template <class T> struct Target {
    T* first;
    int64_t stride;
    int64_t column = 0;
    T* const* rows = nullptr;
    T* row(int64_t r) const { return (rows ? rows[r] : first + r * stride) + column; }
};

// A micro-kernel asks for its panel's lines so far ahead, and so for up to this and a row of the panel beyond its end.
constexpr int64_t panel_ahead_bytes = 2048, prefetched_bytes = panel_ahead_bytes + 512;

constexpr int64_t outer_ahead = 12;  // rows of a that the weight gradients' micro-kernel asks for in advance

template <class T> struct Kernels {
    int lanes;          // elements of a vector
    int panel;          // elements of a full weight panel: the micro-kernel's width
    int slab;           // elements of a slab of units: whole panels
    PointFunction<T> point[op_count];  // null: the engine runs that op itself

    // c[r, 0:width] = start[r, 0:width] + the sum over products of rows[r] @ panel, for any number of rows. width: whole
    // vectors, at most a panel. All products stay in registers until the sum is complete. start may be c itself; ahead may be null.
    void (*gemm)(int64_t rows, const Product<T>* products, int count, int width, Target<T> c, Start<T> start, Ahead* ahead);
    // c[i, 0:width] (ldc) += the sum over k < depth of rows[k][column + i] * panel[k], for i < columns (1 to 6); panel packed [k][whole
    // vectors of width]. `rows` has outer_ahead entries more than depth, any addresses: what lies there is asked for, not read.
    void (*outer)(int columns, const T* const* rows, int64_t column, int64_t depth, const T* panel, int width, T* c, int64_t ldc);
    // The same on pairs of bf16, two neighbours along k in an element: half the depth. Null for double.
    void (*gemm_pairs)(int64_t rows, const Product<uint32_t>* products, int count, int width, Target<T> c, Start<T> start, Ahead* ahead);
    void (*outer_pairs)(int columns, const uint32_t* const* rows, int64_t column, int64_t depth, const uint32_t* panel, int width, T* c,
                        int64_t ldc);
    // Pairs out of two rows, element by element; out of one row's neighbours, an odd end filled up with 0.
    void (*pair_rows)(const T* a, const T* b, int64_t width, uint32_t* out);
    void (*pair_neighbours)(const T* a, int64_t width, uint32_t* out);
    bool pairs_native;  // the processor multiplies bf16 itself
    // destination[c * ldd + r] = source[r * lds + c]
    void (*transpose)(const T* source, int64_t lds, T* destination, int64_t ldd, int64_t rows, int64_t columns);
    // sum[u] += the sum over rows of a[r, u];  the same with the units summed too, into sum[0]
    void (*accumulate)(int64_t rows, int64_t width, T* sum, const T* a, int64_t as);
    void (*accumulate_all)(int64_t rows, int64_t width, T* sum, const T* a, int64_t as);
    void (*coin)(CoinRow row, int64_t width, T* d);
    // Softmax over tiles of logits; see loss_kernels.h.
    void (*exponentials)(int64_t classes, int64_t width, T* tile, const T* bias, T* maximum, T* sum, const T* weights, T* weighted);
    void (*logit_gradients)(int64_t classes, int64_t width, T* tile, const T* before, const T* maximum, const T* scale, const T* weights,
                            const T* share);
    void (*row_maxima)(int64_t rows, int64_t width, T* tile, const T* mask, const T* weights, T* maximum, T* linear);
    void (*row_exponentials)(int64_t rows, int64_t width, T* tile, const T* maximum, T* total);
    void (*row_gradients)(int64_t rows, int64_t width, T* tile, const T* scale, const T* share, const T* weights);
    // The CTC loss of one sequence, and its gradient; how many doubles it needs. See ctc_kernels.h.
    double (*ctc_row)(const CtcRow<T>&);
    int64_t (*ctc_scratch)(int64_t steps, int64_t labels, bool gradient);
    // A conditional random field: a packed tile, a block of sequences forward and back, a tile of moves. See crf_kernels.h.
    bool (*crf_pack)(const CrfJob<T>&, const CrfMatrix&, int64_t tile, bool back);
    void (*crf_forward)(const CrfJob<T>&, int64_t first, int64_t count, double* scratch);
    void (*crf_backward)(const CrfJob<T>&, int64_t first, int64_t count, double* scratch);
    void (*crf_moves)(const CrfJob<T>&, int64_t tile, int64_t pairs, const double* const* before, const double* const* after);
    int64_t (*crf_scratch)(int64_t width);
    // Runs independent FMA chains; returns the number of floating point operations done.
    double (*fma_work)(int64_t repeats, T* sink);
};

// Of the instruction set in use; chosen at the first call (dispatch.cpp).
template <class T> const Kernels<T>& kernels();
const char* instruction_set();

}  // namespace recell
