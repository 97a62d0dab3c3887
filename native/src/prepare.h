// The parts of completing a program (prepare.cpp), and what they share.
#pragma once
#include <algorithm>
#include <vector>

#include "program.h"

namespace recell {

inline bool contains(const std::vector<int>& list, int id) { return std::find(list.begin(), list.end(), id) != list.end(); }

inline void add_once(std::vector<int>& list, int id) {
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

// Checks a stage and lays out its scratch: tiles, registers, what its operands are.
void prepare_stage(Program&, Phase&, Stage&, const Layout&);

// Finds the products of a loop that need no state, and gives them room.
void place_ahead(Program&, Phase&, const Layout&);

// Whether a loop is of points alone, and its values of one unit stay that unit's.
bool units_apart(const Program&, const Phase&);

// Finds the phases that may go through the steps block by block.
void put_together(Program&);

}  // namespace recell
