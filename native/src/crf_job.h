// A linear-chain CRF's call, as crf.cpp hands it to the kernels of an instruction set.
#pragma once
#include <cstdint>

namespace recell {

constexpr int64_t crf_tile = 16;  // tags that stand together in a packed matrix, on every instruction set
constexpr double crf_least = 1e-100;        // a scaled sum below it may have lost something; so may a step's scores or a
constexpr double crf_widest_step = 230;     // move's that are wider (recell.nn.linear_chain)
constexpr double crf_widest_move = 115;
constexpr int64_t crf_block = 8;  // sequences that go through the steps together

// A matrix of exponentials in tiles of columns, each with the rows alone that have something there: row members[k], its columns
// of the tile in panel[k * crf_tile].
struct CrfMatrix {
    const int64_t *starts, *members;  // (tiles + 1), and starts[tiles] rows
    double* panel;
};

// Places: tags in the order in which they stand inside; rows of `width` doubles, 0 beyond the tags.
template <class T> struct CrfJob {
    int64_t steps, rows, tags, width;
    const T *scores, *transitions;    // (steps, rows, tags), (tags + 2, tags + 2)
    const int64_t *path, *lengths;    // (steps, rows), (rows)
    const int64_t* order;             // the tag at each place
    double forbidden;                 // the score of a move at -infinity that a path makes
    CrfMatrix ahead, back;            // exp(transitions): columns are what follows; columns are what goes before
    double *first, *last;             // (width): exp of the transitions from the start, and to the end
    double* alpha;                    // (steps, rows, width): probabilities of the places given the steps so far
    T* losses;                        // (rows)
    const T* weights;                 // (rows): what a row's loss counts in the gradients
    T* gradient;                      // (steps, rows, tags)
    double* after;                    // (steps, rows, width): step 0: the weighted probability of each place; then what a pair's
                                      // probability has of its second place
    double* ends;                     // (rows): 1 / the sum that the last step was divided by
    double* moved;                    // (tags + 2, tags + 2): the weighted number of each move
};

}  // namespace recell
