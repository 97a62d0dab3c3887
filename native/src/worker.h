// One run of a program, and one real thread's view of it.
#pragma once
#include <vector>

#include "kernels.h"
#include "program.h"
#include "tape.h"
#include "team.h"

namespace recell {

struct Range {
    int64_t first, last;
    bool empty() const { return first >= last; }
};

// Shared by all threads of a run; read only but for the barrier and the memory that it points to.
template <class T> struct Run {
    const Program& program;
    const rc_call& call;
    const Kernels<T>& kernels;
    void* const* buffers;
    char* packs;
    T* accumulators;                 // [part][accumulator_stride]
    int64_t accumulator_stride;
    T* sums;                         // [part][sum_stride]: weight gradients of a part's own rows
    int64_t sum_stride;              // 0: the parts split every gradient between them
    char* scratch;                   // [real thread][scratch_bytes]
    int64_t scratch_bytes;
    int parts;                       // logical threads: they fix the order of every sum
    bool split_units;                // small batches: the parts share rows and split units, with barriers
    int64_t steps_ahead;             // loops compute products of given inputs for so many steps at once; 0: with each step
    int64_t ahead_elements;          // what these take
    std::vector<int64_t> row_bounds; // (parts + 1), of the row split
    std::vector<int64_t> first_valid;// (steps + 1), ragged only: valid rows before step t
    uint32_t coin_hash;              // of seed, layer and direction
    Barrier barrier{};

    int64_t steps() const { return call.steps; }
    int64_t rows() const { return call.rows; }
    int64_t active(int64_t t) const { return call.active ? call.active[t] : call.rows; }
    int64_t valid_rows() const { return call.active ? first_valid.back() : call.steps * call.rows; }
    T* buffer(int id) const { return static_cast<T*>(buffers[id]); }
    const T* constants() const;      // [constant][program.constant_width]
};

template <> inline const float* Run<float>::constants() const { return program.float_constants.data(); }
template <> inline const double* Run<double>::constants() const { return program.double_constants.data(); }

// Where a memory operand lies at a loop's s-th step: so far from step to step, or by turns in two places.
template <class T> struct Walk {
    T* first;
    int64_t stride, flip;
    T* at(int64_t s) const { return first + s * stride + (s & 1) * flip; }
};

// The rows of a chunk that a guard lets through, in runs.
struct Due {
    struct Rows {
        int64_t first, count;
    };
    Rows runs[loop_chunk / 2 + 1];
    int count;
    bool all(int64_t rows) const { return count == 1 && runs[0].count == rows; }
};

template <class T> struct Worker {
    Run<T>& run;
    int id, count;          // real threads
    T** base;               // (operands): first element of a memory operand at the current step
    Walk<T>* walks;         // (operands): of the memory operands of the current loop's stages
    const T** pointers;     // (program.pointer_count): row pointers of what the current stage's segments read; of pairs where products take those
    Address<T>* addresses;  // (program.address_count): of what the current stage's points use, in the tile at hand
    T* tiles;               // (program.tile_elements): results of forms, for one chunk of rows
    T* registers;           // (program.register_elements): for one pointwise tile
    T* outer;               // (program.outer_elements)
    uint32_t* pairs;        // (program.pair_elements): the current stage's operands in bf16
    T* begun;               // (run.ahead_elements): products computed ahead, of the steps to come
    Ahead ahead{};          // what the next stages read and write
    std::vector<Due> due{}; // of the current stage's guards
    Tape<T>* tape = nullptr;  // where a loop's stages record their calls

    void barrier() { run.barrier.wait(count); }
    T* part_sums(int part) { return run.sums + part * run.sum_stride; }
    T* part_accumulators(int part) { return run.accumulators + part * run.accumulator_stride; }
};

// A run of rows whose memory is evenly spaced. `index` counts rows from an operand's base; `row` and `step` name the first.
struct Span {
    int64_t index, row, step, count;
};

// Rows that go through a stage together: at most loop_chunk or everywhere_chunk.
struct Chunk {
    const Span* spans;
    int64_t span_count, rows;
};

// What part of a stage's units to run, where its sums go, and where the chunk's rows of products computed ahead lie.
template <class T> struct Share {
    int64_t first_slab, last_slab;  // by_units
    T* accumulators;
    T* begun = nullptr;             // the first row; nullptr: the stage computes all its products itself
    int64_t begun_width = 0;        // elements between rows
};

enum class Products { all, ahead, rest };

template <class T> void run_stage(Worker<T>&, const Stage&, const Chunk&, const Share<T>&);
// Only the products that are ready before the loop, into the share's rows.
template <class T> void run_stage_ahead(Worker<T>&, const Stage&, const Chunk&, const Share<T>&);
template <class T> void run_loop(Worker<T>&, const Phase&);
template <class T> void run_everywhere(Worker<T>&, const Phase&);
// `count` phases from this one on, block of steps by block of steps, and `outer`, weight gradients, unless it is null.
template <class T> void run_together(Worker<T>&, const Phase*, int count, const Phase* outer);
template <class T> void run_outer(Worker<T>&, const Phase&);
// Weight gradients of a part's own rows: steps by steps into sums of its own, which are added at the end.
template <class T> void clear_outer(Worker<T>&, const Phase&, int part);
template <class T> void add_outer(Worker<T>&, const Phase&, int part, Range steps, Range rows);
template <class T> void write_outer(Worker<T>&, const Phase&);
template <class T> void pack_weights(Worker<T>&);

inline int64_t slab_count(const Stage& stage, int64_t slab) { return stage.by_rows ? 1 : (stage.width + slab - 1) / slab; }

}  // namespace recell
