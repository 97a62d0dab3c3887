// Completes a program before its first run: its stages and loops, then packs, sums and constants.
#include "prepare.h"

#include "error.h"

namespace recell {

namespace {

void place_packs(Program& p, const Layout& layout) {
    for (Matrix& m : p.matrices) {
        m.pack_offset = p.pack_bytes;
        const int64_t depth = p.pairs ? pair_count(m.depth()) : m.depth();
        p.pack_bytes += round_up(round_up(m.units(), layout.lanes) * depth * layout.element_size, 64);
    }
}

void place_accumulators(Program& p) {
    for (Phase& phase : p.phases)
        for (int id : phase.accumulators) {
            Operand& o = p.operands[size_t(id)];
            if (o.scratch >= 0) fail("accumulator %d is summed in two phases", id);
            o.scratch = p.accumulator_elements;
            p.accumulator_elements += round_up(o.width, 16);  // whole cache lines: no two threads write one
        }
    for (Operand& o : p.operands)
        if (o.place == Place::accumulator) o.scratch = p.operands[size_t(o.root)].scratch;
}

void place_constants(Program& p) {
    int64_t count = 0;
    for (Operand& o : p.operands)
        if (o.place == Place::constant) o.scratch = count++;
    (p.dtype ? p.double_constants.resize(size_t(count * p.constant_width)) : p.float_constants.resize(size_t(count * p.constant_width)));
    for (const Operand& o : p.operands) {
        if (o.place != Place::constant) continue;
        for (int64_t i = o.scratch * p.constant_width; i < (o.scratch + 1) * p.constant_width; ++i)
            if (p.dtype)
                p.double_constants[size_t(i)] = o.value;
            else
                p.float_constants[size_t(i)] = float(o.value);
    }
}

Source source_of(const Program& p, const Stage& stage, int id) {
    const Operand& o = p.operand(id);
    const bool moves = !stage.by_rows && o.width == stage.width;  // row scalars have no slab
    switch (o.place) {
        case Place::memory:
            if (o.slot == RC_VECTOR) return {id, o.place, Rows::one, moves};
            return {id, o.place, o.slot == RC_ROW ? Rows::batch : Rows::sequence, moves, 0, 0, o.ld};
        case Place::reg: return {id, o.place, Rows::one, false, o.scratch * stage.tile_rows + o.column, 0, o.row_stride};
        case Place::tile: return {id, o.place, Rows::chunk, false, o.column, o.scratch, o.row_stride};
        case Place::constant: return {id, o.place, Rows::one, false, o.scratch * p.constant_width};
        case Place::accumulator: return {id, o.place, Rows::one, moves, o.scratch + o.column};
    }
    __builtin_unreachable();
}

// Once every place is known.
void locate(Program& p) {
    for (Phase& phase : p.phases)
        for (Stage& stage : phase.stages)
            for (Source& source : stage.addressed) source = source_of(p, stage, source.operand);
}

void note_buffers(Program& p) {
    p.used.assign(size_t(p.buffers), 0);
    for (const Operand& o : p.operands)
        if (o.buffer >= 0) p.used[size_t(o.buffer)] = 1;
    for (const Matrix& m : p.matrices) p.used[size_t(m.buffer)] = 1;
    for (const Phase& phase : p.phases)
        for (const Pair& pair : phase.pairs) p.used[size_t(pair.buffer)] = 1;
}

}  // namespace

void prepare(Program& p, const Layout& layout) {
    p.frozen = true;
    for (Phase& phase : p.phases) {
        for (Stage& stage : phase.stages) prepare_stage(p, phase, stage, layout);
        if (phase.kind == PhaseKind::loop) {
            place_ahead(p, phase, layout);
            phase.units_apart = units_apart(p, phase);
        }
        if (phase.kind != PhaseKind::outer) continue;
        p.outer_elements = std::max(p.outer_elements, prepare_outer(p, phase, layout));
        for (const Pair& pair : phase.pairs) p.step_flops += 2 * p.operand(pair.a).width * p.operand(pair.b).width;
    }
    put_together(p);
    note_buffers(p);
    place_packs(p, layout);
    place_accumulators(p);
    place_constants(p);
    locate(p);
}

}  // namespace recell
