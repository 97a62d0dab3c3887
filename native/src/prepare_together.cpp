// Which phases may go through the steps together, block by block: a scan, what is made for all steps beside it, weight gradients.
#include "prepare.h"

namespace recell {

namespace {

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

}  // namespace

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

}  // namespace recell
