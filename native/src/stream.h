// Streams of single steps: entry points for the C ABI.
#pragma once
#include "program.h"

namespace recell {

struct Stream;
Stream* new_stream();
void free_stream(Stream*);
void add_program(Stream&, Program&, void* const* buffers, const rc_call&);
void add_table(Stream&, const void* table, int64_t count, int64_t row_bytes, const int64_t* numbers, int64_t rows, void* destination);
void step_stream(Stream&, int first);

}  // namespace recell
