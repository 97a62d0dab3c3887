// The building calls behind the C ABI. Each returns an id and throws Error.
#pragma once
#include "program.h"

namespace recell {

int set_buffers(Program&, int count);
int add_memory(Program&, int buffer, int slot, int64_t ld, int64_t column, int64_t width);
int add_scratch(Program&, Place place, int64_t width);
int add_view(Program&, int operand, int64_t column, int64_t width);
int add_constant(Program&, double value);
int add_accumulator(Program&, int buffer, int64_t offset, int64_t width);
int add_matrix(Program&, int buffer, int64_t offset, int64_t rows, int64_t columns, int64_t ld, bool transposed);
int add_phase(Program&, PhaseKind kind, bool backward);
int add_state(Program&, int initial, int previous, int next, int final);
int add_stage(Program&, bool by_rows);
int add_form(Program&, int destination, int initial);
int add_segment(Program&, int matrix, int operand);
int add_guard(Program&, int operand, bool when);
int add_point(Program&, int op, int destination, int a, int b, int c, int64_t immediate);
int add_pair(Program&, int a, int b, int buffer, int64_t offset, int64_t ld);

// Operand kinds and widths of one instruction (check_point.cpp).
void check_point(const Program&, bool by_rows, int op, int destination, int a, int b, int c);

}  // namespace recell
