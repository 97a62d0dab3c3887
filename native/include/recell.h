/* The C ABI of the native runtime. It knows no cell: a *program* is built once, then run many times on buffer pointers.
 *
 * Every building call returns an id >= 0, or a negative number, and then rc_last_error() (thread local) says why in one line.
 * A program is frozen by its first rc_run or rc_pack_bytes; from then on several threads may run it at once.
 *
 * Values are elements of the program's type (dtype 0 float, 1 double). T steps, N rows; rows [0, active[t]) are valid at step t, and only
 * those are ever read or written. Buffers belong to the caller and must live until rc_run returns. Two operands may name the same memory:
 * an elementwise point may write what it reads, at the same address. */
#ifndef RECELL_H
#define RECELL_H
#include <stdint.h>

#if defined(_WIN32)
#define RC_API __declspec(dllexport)
#else
#define RC_API __attribute__((visibility("default")))
#endif

#define RC_ABI_VERSION 4

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rc_program rc_program;

/* dtype 0: float; 1: double; 2: float everywhere, but products round their operands to bf16 and add in float.
 * `buffers`: how many pointers rc_run receives, at most. NULL on error. */
RC_API rc_program* rc_program_new(int dtype, int buffers);
/* How many they are, once the program is built: not less than those that it names. */
RC_API int rc_buffers(rc_program*, int buffers);
RC_API void rc_program_free(rc_program*);

/* --- operands: where a value lives ---------------------------------------------------------------------------------------------------
 * Address of (step t, row n, unit u) = buffer + (slot(t) * N + n) * ld + column + u. */
enum rc_slot {
    RC_STEP = 0,          /* slot = t; the buffer has T slots */
    RC_NEW = 1,           /* the state after the step, T+1 slots: slot = reverse ? t : t+1 */
    RC_PREVIOUS = 2,      /* the state before the step, T+1 slots: slot = reverse ? t+1 : t */
    RC_ROLL_NEW = 3,      /* two slots used in turn by the loop's counter s of processed steps: slot = (s+1) & 1 */
    RC_ROLL_PREVIOUS = 4, /* slot = s & 1 */
    RC_ROW = 5,           /* one slot: (N, ld) */
    RC_VECTOR = 6         /* no step and no row: a parameter vector at buffer + column; ld is ignored; read only */
};
RC_API int rc_memory(rc_program*, int buffer, int slot, int64_t ld, int64_t column, int64_t width);
/* Thread-private; lives within one tile of one stage: written by a point before it is read. */
RC_API int rc_register(rc_program*, int64_t width);
/* Thread-private result of a form; the points of the same stage may read and overwrite it. */
RC_API int rc_tile(rc_program*, int64_t width);
/* Columns of a register, tile or memory operand; registers and tiles in by_rows stages only. */
RC_API int rc_view(rc_program*, int operand, int64_t column, int64_t width);
/* Broadcasts over rows and units. */
RC_API int rc_constant(rc_program*, double value);
/* The gradient of a vector: the sum over all valid rows and steps of one phase, written (not added) to buffer + offset at the phase's end. */
RC_API int rc_accumulator(rc_program*, int buffer, int64_t offset, int64_t width);

/* A weight (rows x columns at buffer + offset, row-major, ld): forms compute M @ v, or M^T @ v if transposed. Packed at the start of a run. */
RC_API int rc_matrix(rc_program*, int buffer, int64_t offset, int64_t rows, int64_t columns, int64_t ld, int transposed);

/* --- phases run in the order created; stages, states, forms, segments, points and pairs belong to the latest phase / stage / form -------- */
/* A time loop; t ascends if reverse == backward, else it descends (a backward loop runs against the cell's direction). */
RC_API int rc_loop(rc_program*, int backward);
/* The same stages over all valid (t, row) at once. Rows are independent of each other: a stage must not read, through another slot, what
 * this phase writes. RC_ROLL_* are refused; RC_ROW may be read, not written. */
RC_API int rc_everywhere(rc_program*);
/* A state of the current loop. Rows entering at a step: `initial` (RC_ROW or RC_VECTOR operand, or constant) is copied into `previous`;
 * rows leaving after a step, or at the loop's end: `next` is copied to `final` (RC_ROW operand, or -1). A row with no valid step at all:
 * `initial` is copied to `final`. */
RC_API int rc_state(rc_program*, int initial, int previous, int next, int final_);
/* by_rows = 0: all forms and points have one width (width-1 row scalars aside) and run slab by slab of units; a point of width 1 that
 * writes memory or an accumulator runs once, and this stage must not read that memory. by_rows = 1: whole rows, widths may differ. */
RC_API int rc_stage(rc_program*, int by_rows);
/* destination (tile or memory) = initial (-1: zero; a constant, RC_VECTOR or memory operand) + the sum of its segments. Forms of a stage
 * run in order, before its points. */
RC_API int rc_form(rc_program*, int destination, int initial);
/* += M @ operand. The operand is memory; in a by_units stage, not written by that stage. */
RC_API int rc_segment(rc_program*, int matrix, int operand);
/* Of the latest segment or pair: it may be left out for rows where `operand` (memory with rows, of width 1) is 0, or, if not `when`, where it
 * is not: there its matrix's operand, or a row of a or b, is 0, or nobody needs the result. A segment's guard is not written by its stage. */
RC_API int rc_guard(rc_program*, int operand, int when);
/* A pointwise instruction; unused operands are -1. See rc_op. */
RC_API int rc_point(rc_program*, int op, int destination, int a, int b, int c, int64_t immediate);
/* Weight gradients. */
RC_API int rc_outer(rc_program*);
/* C (a.width x b.width at buffer + offset, row-major, ld) = the sum over all valid (t, row) of a^T b; written, not added. Pairs that share a
 * or b share its packing. a and b: RC_STEP, RC_NEW, RC_PREVIOUS or RC_ROW operands. */
RC_API int rc_pair(rc_program*, int a, int b, int buffer, int64_t offset, int64_t ld);

/* --- running ------------------------------------------------------------------------------------------------------------------------- */
RC_API int64_t rc_pack_bytes(const rc_program*);

typedef struct {
    int64_t steps, rows;        /* T, N */
    int reverse;                /* the cell's direction: t descends */
    const int64_t* active;      /* (T) non-increasing, NULL: all rows */
    const int64_t* row_numbers; /* (N) names of the rows for coins, NULL: 0..N-1 */
    uint64_t seed;
    uint32_t layer, direction;
    int threads;                /* logical parts; fixes the bits of the result */
    int keep_packs;             /* packs is already filled: skip packing */
    void* packs;                /* rc_pack_bytes bytes, 64-byte aligned; NULL: from the pool */
    int64_t first_step;         /* the number of step 0, for coins: a call may be a part of a sequence */
} rc_call;

/* 0, or a negative number. */
RC_API int rc_run(rc_program*, void* const* buffers, const rc_call*);
/* Runs that know nothing of each other, such as two directions: side by side, each on its share of the threads, where each alone has too
 * few rows for them all; else one after the other. All calls ask for the same threads. No run may write what another reads or writes. */
RC_API int rc_run_all(int count, rc_program* const* programs, void* const* const* buffers, const rc_call* calls);

/* --- output layer, softmax and cross-entropy in one ----------------------------------------------------------------------------------- */
typedef struct {
    int dtype;                   /* 0 float, 1 double: of every void* below */
    int threads;                 /* logical parts; fixes the bits of the result */
    int64_t rows, inputs, classes; /* N, D, V */
    const void* x;               /* (N, D), row-major, as all here */
    const void* weight;          /* (V, D): logits = x weight^T + bias */
    const void* bias;            /* (V), or NULL */
    const int64_t* targets;      /* (N): 0..V-1, or `ignored` */
    int64_t ignored;             /* rows of this target are not computed: loss 0, gradient 0 */
    const void* class_weights;   /* (V), or NULL: ones */
    double smoothing;            /* 0..1: the part of the target that is spread over all classes */
    const void* scale;           /* (N), or NULL: ones; what a row's loss counts in the gradients */
    void* losses;                /* (N), written: class_weights[y] (1 - s) (-log p_y) + s / V sum_c class_weights[c] (-log p_c) */
    void* dx;                    /* (N, D), or NULL. These three are written, not added: */
    void* dweight;               /* (V, D), or NULL */
    void* dbias;                 /* (V), or NULL */
    int64_t chunk;               /* how many rows' logits are held at once, to the next whole vector; 0: chosen */
} rc_loss_call;
/* The losses of rows and, where asked for, the gradients of sum(scale * losses). Nothing of size N V is ever held: scratch, from the pool,
 * is chunk * V elements with gradients and a few rows without. No two buffers may overlap. 0, or a negative number. */
RC_API int rc_linear_cross_entropy(const rc_loss_call*);

/* --- connectionist temporal classification ---------------------------------------------------------------------------------------------- */
typedef struct {
    int dtype;                     /* 0 float, 1 double: of log_y, losses and gradient; inside all is double */
    int threads;                   /* sequences are shared among them; the bits of the result do not depend on it */
    int64_t steps, rows, classes;  /* T, N, C */
    const void* log_y;             /* (T, N, C), row-major: log-probabilities */
    const int64_t* targets;        /* the labels of all sequences, 0..C-1 without the blank */
    const int64_t* target_offsets; /* (N): where a sequence's labels begin */
    const int64_t* target_lengths; /* (N): 0 and more */
    const int64_t* input_lengths;  /* (N): 0..T; steps beyond them are not read */
    int64_t blank;                 /* 0..C-1 */
    int finite;                    /* an infinite loss (too few steps for the labels) is 0, and its gradient 0 instead of NaN */
    void* losses;                  /* (N), written: -log of the probability of all paths that read as the labels */
    void* gradient;                /* (T, N, C), or NULL; written: exp(log_y) - gamma, the loss's derivative by the scores before a log-softmax;
                                      0 beyond the input lengths */
} rc_ctc_call;
/* Scratch, from the pool, is a thread's longest sequence: 16 (labels + 1) bytes a step with the gradient. No two buffers may overlap. 0, or a
 * negative number. */
RC_API int rc_ctc_loss(const rc_ctc_call*);

/* --- linear-chain conditional random field ----------------------------------------------------------------------------------------------
 * Tags stand inside in an order of their own, at places, so that those with the same neighbours are together: a matrix of moves is packed in
 * tiles of 16 places, each with the places alone that may stand before them (`ahead`) or after them (`back`). All other moves, and those listed
 * that are not allowed, are -infinity in `transitions`. */
typedef struct {
    int dtype;                    /* 0 float, 1 double: of all that is void; inside all is double */
    int threads;                  /* the bits of the result do not depend on it */
    int64_t steps, rows, tags;    /* T, N, K */
    const void* scores;           /* (T, N, K), row-major */
    const void* transitions;      /* (K + 2, K + 2): the column's tag after the row's; the last two are the start and the end */
    const int64_t* path;          /* (T, N): the tags whose loss it is, 0..K-1 within the lengths */
    const int64_t* lengths;       /* (N): 1..T; what lies beyond them is not read */
    const int64_t* order;         /* (K): the tag at each place, each once */
    const int64_t* ahead_starts;  /* (tiles + 1): where a tile's places before begin in ahead */
    const int64_t* ahead;
    const int64_t* back_starts;   /* (tiles + 1): where a tile's places after begin in back */
    const int64_t* back;
    double forbidden;             /* the score of a move at -infinity that a path makes */
    double* alpha;                /* (T, N, K to the next 16): written by the loss, read by the gradient */
    double* panel;                /* (ahead_starts[tiles], 16): the same */
    void* losses;                 /* (N), written by the loss: -log of the path's probability; not finite where a probability may have been lost:
                                     scores of a step 230 apart, of a move 115 from 0, a sum below 1e-100 */
    const void* weights;          /* (N), read by the gradient: what a row's loss counts */
    void* gradient;               /* (T, N, K), written by the gradient: by the scores; 0 beyond the lengths */
    void* moves;                  /* (K + 2, K + 2), written by the gradient: by the transitions; 0 for a move that is not listed */
} rc_crf_call;
/* The gradient needs the loss's call, with alpha and panel as that left them. No two buffers may overlap. 0, or a negative number. */
RC_API int rc_crf_loss(const rc_crf_call*);
RC_API int rc_crf_gradient(const rc_crf_call*);

/* --- streaming -----------------------------------------------------------------------------------------------------------------------
 * A stream is a chain of links, each bound to fixed buffers: all that a run decides from its program and call is decided when a link is
 * added, so that a step costs little more than its arithmetic. Programs, buffers, tables and packs belong to the caller and must outlive
 * the stream. A state is carried on by naming one buffer as both its initial and its final operand. One thread at a time, adding links
 * included: a second is refused. */
typedef struct rc_stream rc_stream;
RC_API rc_stream* rc_stream_new(void);
RC_API void rc_stream_free(rc_stream*);
/* The program's next link: one step (call.steps 1) with packs already filled (call.keep_packs; rc_run with steps and rows 0 fills them). */
RC_API int rc_stream_program(rc_stream*, rc_program*, void* const* buffers, const rc_call*);
/* A link that copies row numbers[n] of a table (count rows of row_bytes) to destination + n * row_bytes, for n < rows. Numbers are read at
 * each step; one out of range is refused, and then nothing has been written. */
RC_API int rc_stream_table(rc_stream*, const void* table, int64_t count, int64_t row_bytes, const int64_t* numbers, int64_t rows,
                           void* destination);
/* Runs the links in order, from number `first` on. */
RC_API int rc_stream_step(rc_stream*, int first);
/* Refuses everybody else, rc_stream_step too, until rc_stream_release; rc_stream_step_held is the step of the one who holds it. */
RC_API int rc_stream_hold(rc_stream*);
RC_API int rc_stream_step_held(rc_stream*, int first);
RC_API void rc_stream_release(rc_stream*);

/* --- a step as a Python built-in: where a call through ctypes would cost more than a small cell's arithmetic ---------------------------- */
typedef struct {
    void (*retain)(void*);                           /* Py_IncRef */
    void* (*pointer_of)(void*);                      /* PyLong_AsVoidPtr */
    long long (*number_of)(void*, int*);             /* PyLong_AsLongLongAndOverflow */
    intptr_t (*list_size)(void*);                    /* PyList_Size */
    void* (*list_item)(void*, intptr_t);             /* PyList_GetItem */
    void *none, *list_type, *int_type, *array_type;  /* objects that live as long as the process */
    /* Where an object keeps its type, and an array (numpy.ndarray) its fields, in bytes; the flags that say C order, aligned. */
    int64_t type_at, data_at, dimensions_at, shape_at, dtype_at, flags_at;
    int wanted_flags;
} rc_python;
RC_API void rc_set_python(const rc_python*);
typedef struct {
    rc_stream* stream;            /* its first link a table of `numbers` */
    void *dtype, *scores;         /* objects: the dtype that x must have, and what a step gives back */
    int64_t* numbers;             /* (rows) */
    void* x;                      /* (rows, width), where the second link reads */
    int64_t rows, width, item;
} rc_quick;
/* The built-in's function (METH_O): `self` is a Python int, the address of an rc_quick that outlives it; the argument is an array
 * (rows, width) or a list of `rows` ints. Returns a new reference to `scores`, or to None where the argument is anything else, a number
 * is out of range or somebody holds the stream: then nothing has happened. The caller holds Python's lock. */
RC_API void* rc_quick_step(void* self, void* argument);

/* --- the rest ------------------------------------------------------------------------------------------------------------------------ */
RC_API const char* rc_last_error(void);
RC_API const char* rc_isa(void); /* avx512, avx2, baseline; forced by RECELL_ISA */
RC_API int rc_bf16(void);        /* 1 where the processor multiplies bf16 itself, 0 where it is imitated */
RC_API int rc_abi_version(void);
/* Opcode by name, -1 unknown:
 * copy splat add sub mul div mod neg sigmoid tanh relu exp log sqrt abs sin cos floor softplus silu maximum minimum
 * where (a != 0 ? b : c) lt le gt ge eq ne reciprocal; two in one pass: {add sub mul}_{add sub rsub mul}, for example add_mul (a+b)*c,
 * mul_rsub c-a*b; {mul mul_mul}_{sigmoid tanh}_slope, for example mul_mul_tanh_slope a*b*(1-c*c);
 * by_rows only: sum mean max (destination width 1) softmax;
 * accumulate (destination an accumulator; of width 1 with a wide a: sums the units too); accumulate_mul (of a*b);
 * coin (b: constant rate; immediate = op_number * 2 + per_step). */
RC_API int rc_op(const char* name);
/* torch's GOMP_parallel, omp_get_thread_num, omp_get_num_threads; NULLs: the own pool. */
RC_API void rc_set_team(void* gomp_parallel, void* omp_get_thread_num, void* omp_get_num_threads);
/* The workspace pool: 64-byte aligned, reused, thread-safe, fork-safe. NULL when memory is out. */
RC_API void* rc_alloc(int64_t bytes);
RC_API void rc_free(void*);
RC_API void rc_pool_trim(void);       /* gives free blocks back */
RC_API int64_t rc_pool_bytes(void);   /* held from the system: in use and free */
RC_API double rc_fma_peak(int threads, int dtype); /* GF/s */

#ifdef __cplusplus
}
#endif
#endif
