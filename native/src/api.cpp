// The C ABI: every function guards against exceptions and forwards.
#include "recell.h"

#include <cstring>
#include <new>

#include "builder.h"
#include "crf.h"
#include "ctc.h"
#include "error.h"
#include "kernels.h"
#include "loss.h"
#include "memory_pool.h"
#include "run.h"
#include "quick_step.h"
#include "stream.h"
#include "team.h"

using namespace recell;

namespace {

Program& open(rc_program* p) {
    if (!p) fail("the program is NULL");
    return *p;
}

Stream& open(rc_stream* s) {
    if (!s) fail("the stream is NULL");
    return *reinterpret_cast<Stream*>(s);
}

}  // namespace

extern "C" {

rc_program* rc_program_new(int dtype, int buffers) {
    rc_program* made = nullptr;
    guarded([&] {
        if (dtype < 0 || dtype > 2) fail("rc_program_new: dtype %d is none of 0 (float), 1 (double), 2 (float with bf16 products)", dtype);
        if (buffers < 0) fail("rc_program_new: %d buffers", buffers);
        made = new rc_program;
        made->dtype = dtype == 1;
        made->pairs = dtype == 2;
        made->buffers = buffers;
        return 0;
    });
    return made;
}
void rc_program_free(rc_program* p) { delete p; }

int rc_buffers(rc_program* p, int buffers) {
    return guarded([&] { return set_buffers(open(p), buffers); });
}
int rc_memory(rc_program* p, int buffer, int slot, int64_t ld, int64_t column, int64_t width) {
    return guarded([&] { return add_memory(open(p), buffer, slot, ld, column, width); });
}
int rc_register(rc_program* p, int64_t width) {
    return guarded([&] { return add_scratch(open(p), Place::reg, width); });
}
int rc_tile(rc_program* p, int64_t width) {
    return guarded([&] { return add_scratch(open(p), Place::tile, width); });
}
int rc_view(rc_program* p, int operand, int64_t column, int64_t width) {
    return guarded([&] { return add_view(open(p), operand, column, width); });
}
int rc_constant(rc_program* p, double value) {
    return guarded([&] { return add_constant(open(p), value); });
}
int rc_accumulator(rc_program* p, int buffer, int64_t offset, int64_t width) {
    return guarded([&] { return add_accumulator(open(p), buffer, offset, width); });
}
int rc_matrix(rc_program* p, int buffer, int64_t offset, int64_t rows, int64_t columns, int64_t ld, int transposed) {
    return guarded([&] { return add_matrix(open(p), buffer, offset, rows, columns, ld, transposed != 0); });
}
int rc_loop(rc_program* p, int backward) {
    return guarded([&] { return add_phase(open(p), PhaseKind::loop, backward != 0); });
}
int rc_everywhere(rc_program* p) {
    return guarded([&] { return add_phase(open(p), PhaseKind::everywhere, false); });
}
int rc_outer(rc_program* p) {
    return guarded([&] { return add_phase(open(p), PhaseKind::outer, false); });
}
int rc_state(rc_program* p, int initial, int previous, int next, int final_) {
    return guarded([&] { return add_state(open(p), initial, previous, next, final_); });
}
int rc_stage(rc_program* p, int by_rows) {
    return guarded([&] { return add_stage(open(p), by_rows != 0); });
}
int rc_form(rc_program* p, int destination, int initial) {
    return guarded([&] { return add_form(open(p), destination, initial); });
}
int rc_segment(rc_program* p, int matrix, int operand) {
    return guarded([&] { return add_segment(open(p), matrix, operand); });
}
int rc_guard(rc_program* p, int operand, int when) {
    return guarded([&] { return add_guard(open(p), operand, when != 0); });
}
int rc_point(rc_program* p, int op, int destination, int a, int b, int c, int64_t immediate) {
    return guarded([&] { return add_point(open(p), op, destination, a, b, c, immediate); });
}
int rc_pair(rc_program* p, int a, int b, int buffer, int64_t offset, int64_t ld) {
    return guarded([&] { return add_pair(open(p), a, b, buffer, offset, ld); });
}

int64_t rc_pack_bytes(const rc_program* p) {
    return guarded([&]() -> int64_t { return pack_bytes(open(const_cast<rc_program*>(p))); });
}
int rc_run(rc_program* p, void* const* buffers, const rc_call* call) {
    return guarded([&] {
        if (!call) fail("rc_run: the call is NULL");
        run_program(open(p), buffers, *call);
        return 0;
    });
}

int rc_run_all(int count, rc_program* const* programs, void* const* const* buffers, const rc_call* calls) {
    return guarded([&] {
        if (count < 0 || (count && (!programs || !buffers || !calls))) fail("rc_run_all: %d runs, and a list that is NULL", count);
        std::vector<Program*> opened;
        for (int i = 0; i < count; ++i) opened.push_back(&open(programs[i]));
        run_programs(count, opened.data(), buffers, calls);
        return 0;
    });
}

int rc_linear_cross_entropy(const rc_loss_call* call) {
    return guarded([&] {
        if (!call) fail("rc_linear_cross_entropy: the call is NULL");
        linear_cross_entropy(*call);
        return 0;
    });
}

int rc_ctc_loss(const rc_ctc_call* call) {
    return guarded([&] {
        if (!call) fail("rc_ctc_loss: the call is NULL");
        ctc_loss(*call);
        return 0;
    });
}

int rc_crf_loss(const rc_crf_call* call) {
    return guarded([&] {
        if (!call) fail("rc_crf_loss: the call is NULL");
        crf_loss(*call);
        return 0;
    });
}
int rc_crf_gradient(const rc_crf_call* call) {
    return guarded([&] {
        if (!call) fail("rc_crf_gradient: the call is NULL");
        crf_gradient(*call);
        return 0;
    });
}

rc_stream* rc_stream_new(void) {
    rc_stream* made = nullptr;
    guarded([&] {
        made = reinterpret_cast<rc_stream*>(new_stream());
        return 0;
    });
    return made;
}
void rc_stream_free(rc_stream* s) { free_stream(reinterpret_cast<Stream*>(s)); }
int rc_stream_program(rc_stream* s, rc_program* p, void* const* buffers, const rc_call* call) {
    return guarded([&] {
        if (!call) fail("rc_stream_program: the call is NULL");
        add_program(open(s), open(p), buffers, *call);
        return 0;
    });
}
int rc_stream_table(rc_stream* s, const void* table, int64_t count, int64_t row_bytes, const int64_t* numbers, int64_t rows,
                    void* destination) {
    return guarded([&] {
        add_table(open(s), table, count, row_bytes, numbers, rows, destination);
        return 0;
    });
}
int rc_stream_step(rc_stream* s, int first) {
    return guarded([&] {
        const Hold hold(open(s));
        step_held(open(s), first);
        return 0;
    });
}
int rc_stream_hold(rc_stream* s) {
    return guarded([&] {
        hold_stream(open(s));
        return 0;
    });
}
int rc_stream_step_held(rc_stream* s, int first) {
    return guarded([&] {
        step_held(open(s), first);
        return 0;
    });
}
void rc_stream_release(rc_stream* s) {
    if (s) release_stream(*reinterpret_cast<Stream*>(s));
}
void rc_set_python(const rc_python* functions) { set_python(*functions); }
void* rc_quick_step(void* self, void* argument) { return quick_step(self, argument); }

const char* rc_last_error(void) { return last_error(); }
const char* rc_isa(void) {
    const char* name = nullptr;
    guarded([&] {
        name = instruction_set();
        return 0;
    });
    return name;
}
int rc_bf16(void) {
    return guarded([&] { return int(kernels<float>().pairs_native); });
}
int rc_abi_version(void) { return RC_ABI_VERSION; }
int rc_op(const char* name) { return op_by_name(name); }
void rc_set_team(void* gomp_parallel, void* omp_get_thread_num, void* omp_get_num_threads) {
    set_team(gomp_parallel, omp_get_thread_num, omp_get_num_threads);
}
void* rc_alloc(int64_t bytes) {
    void* block = nullptr;
    guarded([&] {
        block = pool_allocate(bytes);
        return 0;
    });
    return block;
}
void rc_free(void* block) { pool_release(block); }
void rc_pool_trim(void) { pool_trim(); }
int64_t rc_pool_bytes(void) { return pool_bytes(); }
double rc_fma_peak(int threads, int dtype) {
    double rate = -1;
    guarded([&] {
        rate = fma_peak(threads, dtype);
        return 0;
    });
    return rate;
}

}  // extern "C"
