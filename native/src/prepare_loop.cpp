// What the runtime may do with a loop beyond going through its steps: products ahead of it, units by themselves.
#include <map>

#include "prepare.h"

namespace recell {

namespace {

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

}  // namespace

void place_ahead(Program& p, Phase& phase, const Layout& layout) { AheadPlan(p, phase, layout).run(); }

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

}  // namespace recell
