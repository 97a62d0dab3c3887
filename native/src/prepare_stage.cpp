// Completes one stage: the widths and places that only the whole shows, slots for registers, and what its points address.
#include <map>

#include "error.h"
#include "prepare.h"

namespace recell {

namespace {

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

}  // namespace

void prepare_stage(Program& p, Phase& phase, Stage& stage, const Layout& layout) { StagePlan(p, phase, stage, layout).run(); }

}  // namespace recell
