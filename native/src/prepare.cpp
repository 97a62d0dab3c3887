// Completes a program before its first run: checks what only the whole shows, lays out packs and scratch, gives registers their
// slots.
#include <algorithm>
#include <map>

#include "error.h"
#include "program.h"

namespace recell {

namespace {

bool contains(const std::vector<int>& list, int id) { return std::find(list.begin(), list.end(), id) != list.end(); }

void add_once(std::vector<int>& list, int id) {
    if (!contains(list, id)) list.push_back(id);
}

template <class V> int place_in(std::vector<V>& list, const V& item) {
    if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(item);
    return int(std::find(list.begin(), list.end(), item) - list.begin());
}

// The operands that a point reads, in order; -1 where there is none.
struct Reads {
    int ids[3];
    explicit Reads(const Point& point) {
        const OpRow& row = op_table[point.op];
        for (int i = 0; i < 3; ++i) {
            const bool used = row.kind == OpKind::coin ? i == 1 : i < row.arity;
            ids[i] = used ? point.operand[i] : -1;
        }
    }
    const int* begin() const { return ids; }
    const int* end() const { return ids + 3; }
};

class StagePlan {
  public:
    StagePlan(Program& program, Phase& phase, Stage& stage, const Layout& layout)
        : p_(program), phase_(phase), s_(stage), layout_(layout) {}

    void run() {
        collect();
        check_widths();
        check_segments();
        mark_once();
        place_tiles();
        place_registers();
        s_.tile_rows = std::clamp<int64_t>(tile_target / std::min<int64_t>(s_.width, s_.by_rows ? s_.width : layout_.slab), 1, chunk());
        collect_streams();
        place_addressed();
        measure();
    }

  private:
    int64_t chunk() const { return phase_.kind == PhaseKind::loop ? loop_chunk : everywhere_chunk; }
    Operand& at(int id) { return p_.operands[size_t(id)]; }

    void note(int id, bool written) {
        if (id < 0) return;
        const Operand& o = at(id);
        s_.width = std::max(s_.width, o.width);
        if (o.place == Place::constant) add_once(s_.constants, id);
        if (o.place != Place::memory) return;
        add_once(s_.memory, id);
        if (phase_.kind != PhaseKind::everywhere) return;
        if (o.slot == RC_ROLL_NEW || o.slot == RC_ROLL_PREVIOUS) fail("an everywhere phase cannot use rolling operand %d", id);
        if (o.slot == RC_ROW && written) fail("an everywhere phase cannot write RC_ROW operand %d", id);
        if (o.slot == RC_ROW) phase_.step_by_step = true;
    }

    void collect() {
        s_.width = 1;
        for (const Form& form : s_.forms) {
            note(form.destination, true);
            note(form.initial, false);
            for (const Segment& segment : form.segments)
                for (int id : {segment.operand, segment.guard.operand})
                    if (!contains(s_.memory, id)) collect_segment(id);
        }
        for (const Point& point : s_.points) {
            if (point.op == op_coin) phase_.step_by_step = true;
            if (at(point.destination).place == Place::accumulator)
                add_once(phase_.accumulators, at(point.destination).root);
            else
                note(point.destination, true);
            for (int id : Reads(point)) note(id, false);
        }
    }

    // Buffers that move on with the step: worth fetching ahead.
    void collect_streams() {
        for (const Point& point : s_.points) {
            add_stream(s_.streams, point.destination);
            for (int id : Reads(point)) add_stream(s_.streams, id);
        }
        for (Form& form : s_.forms)
            for (Segment& segment : form.segments) {
                add_stream(s_.inputs, segment.operand);
                segment.place = place_in(s_.operands, segment.operand);
                if (segment.guard.operand >= 0) segment.rows = place_in(s_.guards, segment.guard);
            }
    }

    void place_addressed() {
        std::vector<int> ids;
        for (Point& point : s_.points) {
            point.to = place_in(ids, point.destination);
            const Reads reads(point);
            for (int i = 0; i < 3; ++i) point.from[i] = reads.ids[i] >= 0 ? place_in(ids, reads.ids[i]) : i > 0 ? point.from[0] : point.to;
            const OpKind kind = op_table[point.op].kind;
            const bool of_operand = kind == OpKind::reduction || kind == OpKind::accumulate;
            const int64_t width = at(of_operand ? point.operand[0] : point.destination).width;
            point.width = s_.by_rows || width != s_.width ? width : 0;
        }
        for (int id : ids) s_.addressed.push_back({id});
    }

    void add_stream(std::vector<int>& list, int id) {
        if (id < 0 || at(id).place != Place::memory || at(id).slot > RC_PREVIOUS || at(id).width < 16) return;
        if (at(id).width * 2 < at(id).ld) return;  // mostly other columns
        for (int other : list)
            if (at(other).buffer == at(id).buffer && at(other).slot == at(id).slot && at(other).column == at(id).column) return;
        list.push_back(id);
    }

    // A segment's operand has its own width, which says nothing of the stage's.
    void collect_segment(int id) {
        const int64_t width = s_.width;
        note(id, false);
        s_.width = width;
    }

    void check_widths() {
        if (s_.by_rows) return;
        for (const Form& form : s_.forms)
            if (form.width != s_.width)
                fail("a by_units stage of width %lld has a form of width %lld", (long long)s_.width, (long long)form.width);
        for (const Point& point : s_.points) {
            check_one_width(point, point.destination);
            for (int id : Reads(point)) check_one_width(point, id);
        }
    }

    void check_one_width(const Point& point, int id) {
        if (id < 0) return;
        const Operand& o = at(id);
        const char* name = op_table[point.op].name;
        if (o.width > 1 && o.width != s_.width)
            fail("rc_point %s: operand %d of width %lld in a by_units stage of width %lld", name, id, (long long)o.width, (long long)s_.width);
        if (o.root != id && (o.place == Place::reg || o.place == Place::tile))
            fail("rc_point %s: operand %d is a view of scratch, which needs a by_rows stage", name, id);
    }

    // Slabs run one after the other, and on several threads: nothing that a form reads may change within the stage.
    void check_segments() {
        for (const Form& form : s_.forms)
            for (const Segment& segment : form.segments) {
                if (!s_.by_rows) check_unwritten(segment.operand);
                if (segment.guard.operand >= 0) check_unwritten(segment.guard.operand);
            }
    }

    void check_unwritten(int read) {
        for (const Form& other : s_.forms) check_overlap(read, other.destination);
        for (const Point& point : s_.points) check_overlap(read, point.destination);
    }

    void check_overlap(int read, int written) {
        const Operand &r = at(read), &w = at(written);
        if (w.place != Place::memory || r.buffer != w.buffer || r.slot != w.slot) return;
        if (r.column < w.column + w.width && w.column < r.column + r.width)
            fail("operand %d is read by a segment and written (as operand %d) in one stage", read, written);
    }

    // A row scalar's effect must happen once, not with every slab.
    void mark_once() {
        if (s_.by_rows || s_.width == 1) return;
        for (Point& point : s_.points) {
            const Operand& d = at(point.destination);
            if (d.place == Place::accumulator)
                point.once = at(point.operand[0]).width == 1;
            else
                point.once = d.width == 1 && d.place == Place::memory;
            if (point.once && d.place == Place::memory) check_not_read(point);
        }
    }

    void check_not_read(const Point& writer) {
        for (const Point& point : s_.points)
            for (int id : Reads(point))
                if (&point != &writer && id == writer.destination)
                    fail("row scalar %d is written and read in one by_units stage; use a register, or a by_rows stage", id);
    }

    void claim(int id) {
        if (!owned_.insert({id, 1}).second) return;
        if (at(id).scratch >= 0) fail("register or tile %d is used in two stages", id);
    }

    void place_tile(int id) {
        Operand& tile = at(id);
        if (owned_.count(id)) return;
        claim(id);
        tile.row_stride = s_.by_rows ? round_up(tile.width, layout_.panel) : tile.width == s_.width ? std::min<int64_t>(layout_.slab, round_up(tile.width, layout_.lanes)) : 1;
        tile.scratch = s_.tile_elements;
        s_.tile_elements += tile.row_stride;
    }

    // The staging area of forms that go to memory comes first.
    void place_tiles() {
        s_.tile_elements = layout_.slab;
        for (Form& form : s_.forms)
            if (at(form.destination).place == Place::tile) place_tile(form.destination);
        for (const Point& point : s_.points) {
            if (at(point.destination).place == Place::tile) place_tile(at(point.destination).root);
            for (int id : Reads(point))
                if (id >= 0 && at(id).place == Place::tile) place_tile(at(id).root);
        }
        for (size_t id = 0; id < p_.operands.size(); ++id) follow_root(int(id), Place::tile);
    }

    void follow_root(int id, Place place) {
        Operand& o = at(id);
        if (o.place != place || o.root == id || !owned_.count(o.root)) return;
        o.scratch = at(o.root).scratch;
        o.row_stride = at(o.root).row_stride;
    }

    // Linear scan: a register's slot is free again after the point that uses it last, so that a long stage stays in L1.
    void place_registers() {
        std::map<int, size_t> last;
        for (size_t i = 0; i < s_.points.size(); ++i) {
            for (int id : Reads(s_.points[i]))
                if (id >= 0 && at(id).place == Place::reg) last[at(id).root] = i;
            if (at(s_.points[i].destination).place == Place::reg) last[at(s_.points[i].destination).root] = i;
        }
        std::multimap<int64_t, int64_t> free_slots;  // stride -> offset
        for (size_t i = 0; i < s_.points.size(); ++i) {
            const Point& point = s_.points[i];
            for (int id : Reads(point))
                if (id >= 0 && at(id).place == Place::reg && !owned_.count(at(id).root))
                    fail("rc_point %s: register %d is read before it is written", op_table[point.op].name, id);
            if (at(point.destination).place == Place::reg) place_register(at(point.destination).root, free_slots);
            for (auto [id, end] : last)
                if (end == i) free_slots.insert({at(id).row_stride, at(id).scratch});
        }
        for (size_t id = 0; id < p_.operands.size(); ++id) follow_root(int(id), Place::reg);
    }

    void place_register(int id, std::multimap<int64_t, int64_t>& free_slots) {
        if (owned_.count(id)) return;
        claim(id);
        Operand& o = at(id);
        o.row_stride = !s_.by_rows && o.width == s_.width ? std::min<int64_t>(layout_.slab, o.width) : o.width;
        auto found = free_slots.find(o.row_stride);
        if (found != free_slots.end()) {
            o.scratch = found->second;
            free_slots.erase(found);
            return;
        }
        o.scratch = s_.register_elements;
        s_.register_elements += o.row_stride;
    }

    void measure() {
        for (const Form& form : s_.forms)
            for (const Segment& segment : form.segments) s_.flops += 2 * form.width * p_.matrices[size_t(segment.matrix)].depth();
        for (const Point& point : s_.points) s_.flops += 4 * std::max<int64_t>(1, at(point.destination).width);
        p_.step_flops += s_.flops;
        int64_t pairs = 0;
        for (int id : s_.operands) pairs += pair_count(at(id).width) * chunk();
        if (p_.pairs) p_.pair_elements = std::max(p_.pair_elements, pairs);
        p_.pointer_count = std::max(p_.pointer_count, int64_t(s_.operands.size()) * chunk());
        p_.address_count = std::max(p_.address_count, int64_t(s_.addressed.size()));
        p_.tile_elements = std::max(p_.tile_elements, s_.tile_elements * chunk());
        // A tile's rows may be read in whole vectors beyond its end: one slab more.
        p_.register_elements = std::max(p_.register_elements, s_.register_elements * s_.tile_rows + layout_.slab);
        if (!s_.by_rows) p_.widest_units = std::max(p_.widest_units, s_.width);
        if (!s_.constants.empty())
            p_.constant_width = std::max(p_.constant_width, round_up(s_.by_rows ? s_.width : std::min<int64_t>(s_.width, layout_.slab), layout_.lanes));
    }

    Program& p_;
    Phase& phase_;
    Stage& s_;
    const Layout& layout_;
    std::map<int, int> owned_;  // registers and tiles of this stage
};

// What of a loop's products needs no state: of inputs that the loop only reads.
class AheadPlan {
  public:
    AheadPlan(Program& program, Phase& phase, const Layout& layout) : p_(program), phase_(phase), layout_(layout) {}

    void run() {
        for (const State& state : phase_.states)
            for (int id : {state.previous, state.next, state.final}) note_written(id);
        for (const Stage& stage : phase_.stages) {
            for (const Form& form : stage.forms) note_written(form.destination);
            for (const Point& point : stage.points) note_written(point.destination);
        }
        for (Stage& stage : phase_.stages)
            for (Form& form : stage.forms) place(stage, form);
    }

  private:
    void note_written(int id) {
        if (id >= 0 && p_.operand(id).place == Place::memory) add_once(written_, p_.operand(id).buffer);
    }

    bool is_given(int id) const {
        const Operand& o = p_.operand(id);
        const bool moves = o.slot == RC_STEP || o.slot == RC_ROW || o.slot == RC_VECTOR;
        return o.place == Place::constant || (o.place == Place::memory && moves && !contains(written_, o.buffer));
    }

    void place(Stage& stage, Form& form) {
        if (form.initial >= 0 && !is_given(form.initial)) return;
        const auto given = [&](const Segment& segment) {
            return is_given(segment.operand) && (segment.guard.operand < 0 || is_given(segment.guard.operand));
        };
        const auto rest = std::stable_partition(form.segments.begin(), form.segments.end(), given);
        form.ready = int(rest - form.segments.begin());
        if (!form.ready) return;
        form.ahead = phase_.ahead_width;
        phase_.ahead_width += round_up(form.width, layout_.panel);
        stage.begins_ahead = true;
    }

    Program& p_;
    Phase& phase_;
    const Layout& layout_;
    std::vector<int> written_;  // buffers
};

// A loop of points alone, whose values of one unit stay that unit's: one width, and one place for each buffer that is written.
bool units_apart(const Program& p, const Phase& phase) {
    std::map<int, std::pair<int64_t, int64_t>> places;  // buffer -> column, width
    std::vector<int> operands;
    for (const State& state : phase.states)
        for (int id : {state.initial, state.previous, state.next, state.final}) operands.push_back(id);
    for (const Stage& stage : phase.stages) {
        if (stage.by_rows || !stage.forms.empty() || stage.width != phase.stages.front().width) return false;
        for (const Point& point : stage.points) {
            if (point.once) return false;
            operands.push_back(point.destination);
            for (int id : Reads(point)) operands.push_back(id);
        }
    }
    for (int id : operands) {
        if (id < 0 || p.operand(id).place != Place::memory) continue;
        const Operand& o = p.operand(id);
        const auto [known, added] = places.insert({o.buffer, {o.column, o.width}});
        if (!added && known->second != std::pair(o.column, o.width)) return false;
    }
    return true;
}

void place_packs(Program& p, const Layout& layout) {
    for (Matrix& m : p.matrices) {
        m.pack_offset = p.pack_bytes;
        const int64_t depth = p.pairs ? pair_count(m.depth()) : m.depth();
        p.pack_bytes += round_up(round_up(m.units(), layout.lanes) * depth * layout.element_size, 64);
    }
}

// What a phase reads and writes of a buffer, and in which slots.
struct Touch {
    int buffer;
    rc_slot slot;
    bool written;
};

std::vector<Touch> touches_of(const Program& p, const Phase& phase) {
    std::vector<Touch> found;
    const auto add = [&](int id, bool written) {
        if (id >= 0 && p.operand(id).place == Place::memory) found.push_back({p.operand(id).buffer, rc_slot(p.operand(id).slot), written});
    };
    for (const State& state : phase.states) {
        for (int id : {state.initial, state.previous, state.next}) add(id, false);  // rows are entered where they had no step before
        add(state.final, true);
    }
    for (const Stage& stage : phase.stages) {
        for (const Form& form : stage.forms) {
            add(form.destination, true);
            add(form.initial, false);
            for (const Segment& segment : form.segments)
                for (int id : {segment.operand, segment.guard.operand}) add(id, false);
        }
        for (const Point& point : stage.points) {
            add(point.destination, true);
            for (int id : Reads(point)) add(id, false);
        }
    }
    for (const Pair& pair : phase.pairs)
        for (int id : {pair.a, pair.b, pair.guard.operand}) add(id, false);
    return found;
}

// Whether a block of steps may go through both before the next block does: what the one writes the other touches at the same step or
// a later one, and what the other writes the one has touched by then. States go from slot to slot in the loop's direction.
bool keep_step(const std::vector<Touch>& one, const std::vector<Touch>& other, bool backward) {
    const rc_slot written_now = backward ? RC_PREVIOUS : RC_NEW, written_before = backward ? RC_NEW : RC_PREVIOUS;
    for (const Touch& a : one)
        for (const Touch& b : other) {
            if (a.buffer != b.buffer || (!a.written && !b.written)) continue;
            const bool follows = a.slot == written_now && b.slot == written_before;
            if (!follows && (a.slot != b.slot || a.slot == RC_ROW)) return false;
        }
    return true;
}

bool is_scan(const Phase& phase) {
    return phase.kind == PhaseKind::loop && std::all_of(phase.stages.begin(), phase.stages.end(), [](const Stage& s) { return s.forms.empty(); });
}

// How many of the phases from `first` on may go together: as many as keep step with one another, all scans in one direction. Weight
// gradients are the last.
size_t length_together(const Program& p, size_t first) {
    std::vector<std::vector<Touch>> touches;
    const Phase* scan = nullptr;
    size_t end = first;
    for (; end < p.phases.size() && (end == first || p.phases[end - 1].kind != PhaseKind::outer); ++end) {
        const Phase& next = p.phases[end];
        if (next.kind == PhaseKind::loop && !is_scan(next)) break;
        if (next.kind == PhaseKind::outer && !scan) break;
        if (next.kind == PhaseKind::loop && scan && scan->backward != next.backward) break;
        if (next.kind == PhaseKind::loop) scan = &next;
        touches.push_back(touches_of(p, next));
        bool fits = true;
        for (size_t i = 0; scan && i < touches.size(); ++i)
            for (size_t j = 0; j < i; ++j) fits = fits && keep_step(touches[j], touches[i], scan->backward);
        if (!fits) break;
    }
    return scan ? end - first : 0;
}

// Operands of sequences that a phase touches and `streams` does not hold.
void add_streams(const Program& p, const Phase& phase, std::vector<int>& streams) {
    const auto known = [&](int id) {
        const Operand& o = p.operand(id);
        return std::any_of(streams.begin(), streams.end(), [&](int other) {
            const Operand& q = p.operand(other);
            return q.buffer == o.buffer && q.slot == o.slot && q.column == o.column;
        });
    };
    for (const Stage& stage : phase.stages)
        for (const std::vector<int>* ids : {&stage.inputs, &stage.streams})
            for (int id : *ids)
                if (const int slot = p.operand(id).slot; (slot == RC_STEP || slot == RC_NEW || slot == RC_PREVIOUS) && !known(id))
                    streams.push_back(id);
    for (const Pair& pair : phase.pairs)
        for (int id : {pair.a, pair.b})
            if (p.operand(id).slot <= RC_PREVIOUS && !known(id)) streams.push_back(id);
}

// A scan is bound by memory: it and the phases beside it share what is in the nearest caches.
void put_together(Program& p) {
    for (size_t first = 0; first < p.phases.size();) {
        const size_t count = length_together(p, first);
        Phase& head = p.phases[first];
        for (size_t i = first; i < first + count; ++i) add_streams(p, p.phases[i], head.streams_together);
        head.outer_together = count && p.phases[first + count - 1].kind == PhaseKind::outer;
        if (head.outer_together) p.sum_elements = std::max(p.sum_elements, p.phases[first + count - 1].sum_elements);
        head.together = int(std::max<size_t>(count - head.outer_together, 1));
        first += std::max<size_t>(count, 1);
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
        for (Stage& stage : phase.stages) StagePlan(p, phase, stage, layout).run();
        if (phase.kind == PhaseKind::loop) {
            AheadPlan(p, phase, layout).run();
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
