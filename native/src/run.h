// Running a program: entry points for the C ABI.
#pragma once
#include "program.h"

namespace recell {

void run_program(Program&, void* const* buffers, const rc_call&);
void run_programs(int count, Program* const* programs, void* const* const* buffers, const rc_call* calls);
int64_t pack_bytes(Program&);
double fma_peak(int threads, int dtype);  // GF/s

}  // namespace recell
