// The building calls: each checks what it can see and appends to the program.
#include "program.h"

#include <algorithm>

#include "builder.h"
#include "error.h"

namespace recell {

namespace {

template <class V> int push(V& list, typename V::value_type item) {
    list.push_back(std::move(item));
    return int(list.size()) - 1;
}

void check_open(const Program& p) {
    if (p.frozen) fail("the program has already run: it can no longer be changed");
}

void check_buffer(const Program& p, int buffer, const char* who) {
    if (buffer < 0 || buffer >= p.buffers) fail("%s: buffer %d is not in 0..%d", who, buffer, p.buffers - 1);
}

// One more than the last buffer that the program names.
int named_buffers(const Program& p) {
    int last = -1;
    for (const Operand& o : p.operands) last = std::max(last, o.buffer);
    for (const Matrix& m : p.matrices) last = std::max(last, m.buffer);
    for (const Phase& phase : p.phases)
        for (const Pair& pair : phase.pairs) last = std::max(last, pair.buffer);
    return last + 1;
}

const Operand& operand_of(const Program& p, int id, const char* who) {
    if (id < 0 || id >= int(p.operands.size())) fail("%s: operand %d does not exist", who, id);
    return p.operands[size_t(id)];
}

void check_positive(int64_t n, const char* who, const char* what) {
    if (n < 1) fail("%s: %s is %lld, must be at least 1", who, what, (long long)n);
}

Phase& last_phase(Program& p, const char* who) {
    if (p.phases.empty()) fail("%s: no phase yet; call rc_loop, rc_everywhere or rc_outer first", who);
    return p.phases.back();
}

Stage& last_stage(Program& p, const char* who) {
    Phase& phase = last_phase(p, who);
    if (phase.stages.empty()) fail("%s: the current phase has no stage; call rc_stage first", who);
    return phase.stages.back();
}

int add_operand(Program& p, Operand o) {
    const int id = push(p.operands, o);
    if (p.operands[size_t(id)].root < 0) p.operands[size_t(id)].root = id;
    return id;
}

}  // namespace

int set_buffers(Program& p, int count) {
    check_open(p);
    const int named = named_buffers(p);
    if (count < named || count > p.buffers) fail("rc_buffers: %d buffers; the program names %d, of %d at most", count, named, p.buffers);
    p.buffers = count;
    return 0;
}

int add_memory(Program& p, int buffer, int slot, int64_t ld, int64_t column, int64_t width) {
    check_open(p);
    check_buffer(p, buffer, "rc_memory");
    check_positive(width, "rc_memory", "width");
    if (slot < RC_STEP || slot > RC_VECTOR) fail("rc_memory: slot %d is not in 0..%d", slot, RC_VECTOR);
    if (column < 0) fail("rc_memory: column %lld is negative", (long long)column);
    if (slot != RC_VECTOR && column + width > ld)
        fail("rc_memory: columns %lld..%lld do not fit in rows of %lld", (long long)column, (long long)(column + width), (long long)ld);
    Operand o{Place::memory, width, buffer, slot};
    o.ld = slot == RC_VECTOR ? 0 : ld;
    o.column = column;
    return add_operand(p, o);
}

int add_scratch(Program& p, Place place, int64_t width) {
    check_open(p);
    check_positive(width, place == Place::tile ? "rc_tile" : "rc_register", "width");
    return add_operand(p, Operand{place, width});
}

int add_view(Program& p, int operand, int64_t column, int64_t width) {
    check_open(p);
    Operand o = operand_of(p, operand, "rc_view");
    check_positive(width, "rc_view", "width");
    if (o.place == Place::constant) fail("rc_view: operand %d is a constant", operand);
    if (column < 0 || column + width > o.width)
        fail("rc_view: columns %lld..%lld are not within width %lld", (long long)column, (long long)(column + width), (long long)o.width);
    o.column += column;
    o.width = width;
    if (o.place == Place::memory) o.root = -1;  // an operand like any other
    return add_operand(p, o);
}

int add_constant(Program& p, double value) {
    check_open(p);
    Operand o{Place::constant};
    o.value = value;
    return add_operand(p, o);
}

int add_accumulator(Program& p, int buffer, int64_t offset, int64_t width) {
    check_open(p);
    check_buffer(p, buffer, "rc_accumulator");
    check_positive(width, "rc_accumulator", "width");
    Operand o{Place::accumulator, width, buffer};
    o.ld = offset;  // in the buffer; column is the offset within the accumulator, for views
    return add_operand(p, o);
}

int add_matrix(Program& p, int buffer, int64_t offset, int64_t rows, int64_t columns, int64_t ld, bool transposed) {
    check_open(p);
    check_buffer(p, buffer, "rc_matrix");
    check_positive(rows, "rc_matrix", "rows");
    check_positive(columns, "rc_matrix", "columns");
    if (offset < 0 || ld < columns) fail("rc_matrix: offset %lld or ld %lld is too small", (long long)offset, (long long)ld);
    return push(p.matrices, Matrix{buffer, offset, rows, columns, ld, transposed});
}

int add_phase(Program& p, PhaseKind kind, bool backward) {
    check_open(p);
    Phase phase{};
    phase.kind = kind;
    phase.backward = backward;
    return push(p.phases, phase);
}

int add_state(Program& p, int initial, int previous, int next, int final) {
    check_open(p);
    Phase& phase = last_phase(p, "rc_state");
    if (phase.kind != PhaseKind::loop) fail("rc_state: the current phase is not a loop");
    const Operand& i = operand_of(p, initial, "rc_state: initial");
    const Operand& before = operand_of(p, previous, "rc_state: previous");
    const Operand& after = operand_of(p, next, "rc_state: next");
    const bool initial_fits = i.place == Place::constant || (i.place == Place::memory && (i.slot == RC_ROW || i.slot == RC_VECTOR));
    if (!initial_fits) fail("rc_state: initial must be an RC_ROW or RC_VECTOR operand or a constant");
    if (before.place != Place::memory || before.slot == RC_VECTOR) fail("rc_state: previous must be a memory operand with rows");
    if (after.place != Place::memory || after.slot == RC_VECTOR) fail("rc_state: next must be a memory operand with rows");
    if ((i.width && i.width != before.width) || after.width != before.width)
        fail("rc_state: widths differ: initial %lld, previous %lld, next %lld", (long long)i.width, (long long)before.width,
             (long long)after.width);
    if (final >= 0) {
        const Operand& f = operand_of(p, final, "rc_state: final");
        if (f.place != Place::memory || f.slot != RC_ROW || f.width != before.width)
            fail("rc_state: final must be an RC_ROW operand of width %lld", (long long)before.width);
    }
    return push(phase.states, State{initial, previous, next, final});
}

int add_stage(Program& p, bool by_rows) {
    check_open(p);
    Phase& phase = last_phase(p, "rc_stage");
    if (phase.kind == PhaseKind::outer) fail("rc_stage: an outer phase has no stages");
    Stage stage{};
    stage.by_rows = by_rows;
    return push(phase.stages, stage);
}

int add_form(Program& p, int destination, int initial) {
    check_open(p);
    Stage& stage = last_stage(p, "rc_form");
    const Operand& d = operand_of(p, destination, "rc_form: destination");
    if (d.place != Place::memory && d.place != Place::tile) fail("rc_form: the destination must be a tile or memory");
    if (d.place == Place::tile && d.root != destination) fail("rc_form: the destination must be a whole tile, not a view");
    if (initial >= 0) {
        const Operand& i = operand_of(p, initial, "rc_form: initial");
        if (i.place != Place::memory && i.place != Place::constant) fail("rc_form: initial must be memory or a constant");
        if (i.width && i.width != d.width)
            fail("rc_form: initial has width %lld, destination %lld", (long long)i.width, (long long)d.width);
    }
    return push(stage.forms, Form{destination, initial, {}, d.width});
}

int add_segment(Program& p, int matrix, int operand) {
    check_open(p);
    Stage& stage = last_stage(p, "rc_segment");
    if (stage.forms.empty()) fail("rc_segment: the current stage has no form; call rc_form first");
    Form& form = stage.forms.back();
    if (matrix < 0 || matrix >= int(p.matrices.size())) fail("rc_segment: matrix %d does not exist", matrix);
    const Matrix& m = p.matrices[size_t(matrix)];
    const Operand& o = operand_of(p, operand, "rc_segment");
    if (o.place != Place::memory) fail("rc_segment: the operand must be memory");
    if (o.width != m.depth()) fail("rc_segment: the matrix takes %lld values, the operand has %lld", (long long)m.depth(), (long long)o.width);
    if (form.width != m.units())
        fail("rc_segment: the matrix gives %lld values, the destination has %lld", (long long)m.units(), (long long)form.width);
    return push(form.segments, Segment{matrix, operand});
}

int add_guard(Program& p, int operand, bool when) {
    check_open(p);
    Phase& phase = last_phase(p, "rc_guard");
    const Operand& o = operand_of(p, operand, "rc_guard");
    if (o.place != Place::memory || o.slot == RC_VECTOR || o.width != 1)
        fail("rc_guard: operand %d must be memory with rows, of width 1", operand);
    if (phase.kind == PhaseKind::outer) {
        if (phase.pairs.empty()) fail("rc_guard: the current phase has no pair; call rc_pair first");
        if (o.slot == RC_ROLL_NEW || o.slot == RC_ROLL_PREVIOUS) fail("rc_guard: operand %d of a pair must not roll", operand);
        phase.pairs.back().guard = {operand, when};
        return 0;
    }
    Stage& stage = last_stage(p, "rc_guard");
    if (stage.forms.empty() || stage.forms.back().segments.empty())
        fail("rc_guard: the current stage's last form has no segment; call rc_segment first");
    stage.forms.back().segments.back().guard = {operand, when};
    return 0;
}

int add_point(Program& p, int op, int destination, int a, int b, int c, int64_t immediate) {
    check_open(p);
    Stage& stage = last_stage(p, "rc_point");
    if (op < 0 || op >= op_count) fail("rc_point: opcode %d does not exist", op);
    check_point(p, stage.by_rows, op, destination, a, b, c);
    return push(stage.points, Point{op, destination, {a, b, c}, immediate, false});
}

int add_pair(Program& p, int a, int b, int buffer, int64_t offset, int64_t ld) {
    check_open(p);
    Phase& phase = last_phase(p, "rc_pair");
    if (phase.kind != PhaseKind::outer) fail("rc_pair: the current phase is not an outer phase");
    for (int id : {a, b}) {
        const Operand& o = operand_of(p, id, "rc_pair");
        if (o.place != Place::memory || o.slot == RC_VECTOR || o.slot == RC_ROLL_NEW || o.slot == RC_ROLL_PREVIOUS)
            fail("rc_pair: operand %d must be an RC_STEP, RC_NEW, RC_PREVIOUS or RC_ROW operand", id);
    }
    check_buffer(p, buffer, "rc_pair");
    if (offset < 0 || ld < p.operand(b).width) fail("rc_pair: ld %lld is less than b's width %lld", (long long)ld, (long long)p.operand(b).width);
    return push(phase.pairs, Pair{a, b, buffer, offset, ld});
}

}  // namespace recell
