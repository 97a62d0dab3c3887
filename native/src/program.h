// A program as data: operands, matrices, phases of stages of forms and points. Built by api.cpp through ProgramBuilder calls
// (program.cpp), completed once by prepare.cpp, then read only.
#pragma once
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "ops.h"
#include "recell.h"

namespace recell {

enum class Place { memory, reg, tile, constant, accumulator };

struct Operand {
    Place place{};
    int64_t width = 0;        // a constant has width 0: it fits any
    int buffer = -1;          // memory, accumulator
    int slot = RC_VECTOR;     // memory
    int64_t ld = 0, column = 0;
    double value = 0;         // constant
    int root = -1;            // the register, tile or accumulator that this is a view of; itself for a whole one
    // Completed by prepare():
    int64_t scratch = -1;     // register, tile: offset in elements per row; constant: its number; accumulator: offset in elements
    int64_t row_stride = 0;   // register, tile: elements between rows
};

// Weights in panels: [panel][k][panel width], the last panel narrower (whole vectors, padded with zeros).
struct Matrix {
    int buffer;
    int64_t offset, rows, columns, ld;
    bool transposed;
    int64_t units() const { return transposed ? columns : rows; }  // length of the result
    int64_t depth() const { return transposed ? rows : columns; }  // length of the operand
    int64_t pack_offset = 0;                                       // bytes
};

// Rows that may go without a segment or pair: those where `operand` is 0, or is not 0 if `when` is false.
struct Guard {
    int operand = -1;  // -1: none may
    bool when = true;
    bool operator==(const Guard&) const = default;
};

struct Segment {
    int matrix, operand;
    Guard guard{};
    int rows = -1;   // completed by prepare(): the guard's place among those of the stage; -1: none
    int place = -1;  // completed by prepare(): the operand's place among those that the stage's segments read
};

struct Form {
    int destination, initial;
    std::vector<Segment> segments;
    int64_t width;
    // Completed by prepare(), in loops: its first segments, with the initial value, read nothing that the loop writes, so that many
    // steps' rows may share one pass over their weights.
    int ready = 0;
    int64_t ahead = -1;  // column of these products in a row of the phase's products computed ahead; -1: none
};

struct Point {
    int op, destination;
    int operand[3];
    int64_t immediate;
    bool once;  // by_units: a row scalar with an effect, run with the first slab only
    // Completed by prepare():
    int to = 0, from[3] = {};  // places among the stage's `addressed`; of operands that are not there, the first again
    int64_t width = 0;         // of its rows; 0: as wide as the slab
};

// How the rows of a stage's operands are counted: from the sequence's start, the batch's, the chunk's; or there is one for all.
enum class Rows { sequence, batch, chunk, one };

// Where an operand of a stage's points lies, as far as the program fixes it:
// root + offset + chunk_offset * (rows of the chunk) + row * stride, and the slab's first unit if it moves with the slab.
struct Source {
    int operand;
    Place place{};
    Rows rows{};
    bool moves = false;
    int64_t offset = 0, chunk_offset = 0, stride = 0;
};

struct Stage {
    bool by_rows;
    std::vector<Form> forms;
    std::vector<Point> points;
    // Completed by prepare():
    int64_t width = 0;              // by_units: the common width; by_rows: the widest
    std::vector<int> memory;        // the memory operands used
    std::vector<int> constants;     // the constant operands used
    std::vector<int> streams;       // what its points read or write at a step of a sequence, one of each kind
    std::vector<int> inputs;        // what its segments read at a step
    std::vector<int> operands;      // each operand that its segments read, once
    std::vector<Guard> guards;      // each of its segments' guards, once
    std::vector<Source> addressed;  // each operand that its points use, once
    bool begins_ahead = false;      // some form's first products may be computed ahead
    int64_t tile_elements = 0;      // per chunk row
    int64_t register_elements = 0;  // per row of a pointwise tile
    int64_t tile_rows = 1;          // rows of one pointwise tile
    int64_t flops = 0;              // per row
};

struct State {
    int initial, previous, next, final;
};

struct Pair {
    int a, b, buffer;
    int64_t offset, ld;
    Guard guard{};
    int64_t sum = 0;  // completed by prepare(): where its sum lies among those of a part that has them to itself
};

// Completed by prepare(): pairs over the same rows, their distinct operands of each side, and where each b lies when it is packed.
struct Sides {
    Guard guard;
    std::vector<Pair> pairs{};
    std::vector<int> a{}, b{};
    std::vector<int64_t> b_offset{};
    int64_t b_elements = 0;
};

enum class PhaseKind { loop, everywhere, outer };

struct Phase {
    PhaseKind kind;
    bool backward = false;
    std::vector<State> states;
    std::vector<Stage> stages;
    std::vector<Pair> pairs;
    // Completed by prepare():
    std::vector<int> accumulators;  // those that this phase sums
    int64_t ahead_width = 0;        // loop: elements of a row of products computed ahead
    bool units_apart = false;       // loop: a scan, in which no unit reads what another wrote
    int together = 1;               // this phase and those after it that may go through the steps block by block, 1: it alone
    bool outer_together = false;    // the weight gradients that follow them may too
    std::vector<int> streams_together;  // what they read or write at a step, each once
    std::vector<Sides> sides;       // outer
    int64_t sum_elements = 0;       // outer: of all its sums
    bool step_by_step = false;      // everywhere: reads RC_ROW operands or draws coins, so a run of rows must end with its step
};

// What prepare() must know of the instruction set.
struct Layout {
    int lanes, panel, slab, element_size;
};

constexpr int64_t loop_chunk = 96, everywhere_chunk = 96;  // rows that share one pass over the weights
constexpr int64_t outer_depth = 384;                        // rows packed at once for the weight gradients
constexpr int64_t tile_target = 1024;                        // elements of a pointwise tile

struct Program {
    int dtype, buffers;         // dtype 1: double; otherwise float
    bool pairs = false;         // products take bf16 operands, in pairs along k
    std::vector<Operand> operands;
    std::vector<Matrix> matrices;
    std::vector<Phase> phases;

    // Completed by prepare(), under `once`:
    std::once_flag once;
    std::string failure;           // what prepare() found wrong; every run repeats it
    bool frozen = false;
    int64_t pack_bytes = 0;
    int64_t accumulator_elements = 0;
    int64_t tile_elements = 0, register_elements = 0, pointer_count = 0, address_count = 0;  // one thread's scratch: the largest stage's
    int64_t pair_elements = 0;     // pairs: a chunk's rows of a stage's operands
    int64_t outer_elements = 0;    // and the largest outer phase's
    int64_t sum_elements = 0;      // the sums of the largest outer phase that may go together with others
    int64_t constant_width = 0;
    std::vector<float> float_constants;    // [constant][constant_width], of the program's type: constants are rows like any other
    std::vector<double> double_constants;
    std::vector<char> used;        // buffers that must not be NULL
    int64_t step_flops = 0;        // one row of one step of all phases: to choose threads
    int64_t widest_units = 0;      // the widest by_units stage

    const Operand& operand(int id) const { return operands[size_t(id)]; }
};

inline int64_t pair_count(int64_t width) { return (width + 1) / 2; }

// Groups the pairs of an outer phase and places what they pack; returns the elements of scratch that one thread needs (outer.cpp).
int64_t prepare_outer(const Program&, Phase&, const Layout&);

// Checks what only the whole program shows, lays out scratch and packs. Throws Error.
void prepare(Program&, const Layout&);

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

}  // namespace recell

struct rc_program : recell::Program {};
