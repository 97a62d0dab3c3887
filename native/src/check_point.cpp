// The rules of a pointwise instruction: which operands it has, of which kind and width.
#include "builder.h"
#include "error.h"

namespace recell {

namespace {

const char* const letters[] = {"a", "b", "c"};

void check_source(const Program& p, const char* op, int id, int position) {
    if (id < 0 || id >= int(p.operands.size())) fail("rc_point %s: operand %s = %d does not exist", op, letters[position], id);
    if (p.operand(id).place == Place::accumulator) fail("rc_point %s: operand %s is an accumulator", op, letters[position]);
}

void check_width(const char* op, const char* what, int64_t came, int64_t wanted) {
    if (came && came != wanted) fail("rc_point %s: %s has width %lld, must be %lld", op, what, (long long)came, (long long)wanted);
}

void check_destination(const Program& p, const char* op, int id, bool accumulates) {
    if (id < 0 || id >= int(p.operands.size())) fail("rc_point %s: destination %d does not exist", op, id);
    const Operand& d = p.operand(id);
    if (accumulates != (d.place == Place::accumulator))
        fail("rc_point %s: the destination must %sbe an accumulator", op, accumulates ? "" : "not ");
    if (d.place == Place::constant || (d.place == Place::memory && d.slot == RC_VECTOR))
        fail("rc_point %s: the destination is read only", op);
}

}  // namespace

void check_point(const Program& p, bool by_rows, int op, int destination, int a, int b, int c) {
    const OpRow& row = op_table[op];
    const int ids[3] = {a, b, c};
    check_destination(p, row.name, destination, row.kind == OpKind::accumulate);
    const int64_t width = p.operand(destination).width;
    if (row.kind == OpKind::coin) {
        check_source(p, row.name, b, 1);
        if (p.operand(b).place != Place::constant) fail("rc_point coin: b, the rate, must be a constant");
        return;
    }
    for (int i = 0; i < row.arity; ++i) check_source(p, row.name, ids[i], i);
    const int64_t a_width = p.operand(a).width;
    switch (row.kind) {
        case OpKind::elementwise:
            for (int i = 0; i < row.arity; ++i) check_width(row.name, letters[i], p.operand(ids[i]).width, width);
            break;
        case OpKind::splat: check_width(row.name, "a", a_width, 1); break;
        case OpKind::reduction:
            if (!by_rows) fail("rc_point %s: row operations need a by_rows stage", row.name);
            if (!a_width) fail("rc_point %s: a is a constant", row.name);
            check_width(row.name, "the destination", width, 1);
            break;
        case OpKind::row:
            if (!by_rows) fail("rc_point %s: row operations need a by_rows stage", row.name);
            check_width(row.name, "a", a_width, width);
            break;
        case OpKind::accumulate:
            if (!a_width) fail("rc_point %s: a is a constant", row.name);
            if (width != 1 || row.arity > 1) check_width(row.name, "a", a_width, width);
            if (row.arity > 1) check_width(row.name, "b", p.operand(b).width, width);
            break;
        case OpKind::coin: break;
    }
}

}  // namespace recell
