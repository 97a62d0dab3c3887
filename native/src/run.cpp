// One run: checks the call, chooses how to split it, packs the weights, and lets the team go through the phases.
#include "run.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>

#include "coin.h"
#include "error.h"
#include "prepared_run.h"

namespace recell {

namespace {

constexpr int most_parts = 256;
constexpr int64_t rows_worth_splitting = 5;      // rows of each part: fewer, and the micro-kernel reads weights for too little
constexpr double run_worth_threads = 1e6;        // flops of a whole run below which waking a team costs more
constexpr double step_worth_barrier = 1e5;       // flops of a step below which meeting costs more

template <class T> Layout layout() {
    const Kernels<T>& k = kernels<T>();
    return {k.lanes, k.panel, k.slab, int(sizeof(T))};
}

void ensure_prepared(Program& p) {
    std::call_once(p.once, [&] {
        try {
            prepare(p, p.dtype ? layout<double>() : layout<float>());
        } catch (const std::exception& e) {
            p.failure = e.what();
        }
    });
    if (!p.failure.empty()) throw Error(p.failure);
}

void check_call(const Program& p, void* const* buffers, const rc_call& call) {
    if (call.steps < 0 || call.rows < 0) fail("rc_run: steps %lld, rows %lld", (long long)call.steps, (long long)call.rows);
    if (p.buffers && !buffers) fail("rc_run: buffers is NULL");
    for (int i = 0; call.steps && call.rows && i < p.buffers; ++i)
        if (p.used[size_t(i)] && !buffers[i]) fail("rc_run: buffer %d is NULL", i);
    if (call.keep_packs && !call.packs) fail("rc_run: keep_packs without packs");
    if (reinterpret_cast<uintptr_t>(call.packs) % 64) fail("rc_run: packs must be 64-byte aligned");
    for (int64_t t = 0; call.active && t < call.steps; ++t) {
        const int64_t before = t ? call.active[t - 1] : call.rows;
        if (call.active[t] < 0 || call.active[t] > before)
            fail("rc_run: active[%lld] = %lld must lie in 0..%lld: it starts at most at `rows` and never grows", (long long)t,
                 (long long)call.active[t], (long long)before);
    }
}

template <class T> void number_valid(Run<T>& run) {
    if (!run.call.active) return;
    run.first_valid.resize(size_t(run.steps()) + 1);
    for (int64_t t = 0; t < run.steps(); ++t) run.first_valid[size_t(t) + 1] = run.first_valid[size_t(t)] + run.active(t);
}

// Rows are sorted by length: bounds at equal numbers of valid steps, not of rows.
template <class T> void bound_rows(Run<T>& run) {
    const int64_t rows = run.rows(), parts = run.parts;
    run.row_bounds.assign(size_t(parts) + 1, rows);
    run.row_bounds[0] = 0;
    if (!run.call.active) {
        for (int64_t p = 1; p < parts; ++p) run.row_bounds[size_t(p)] = rows * p / parts;
        return;
    }
    const int64_t total = run.valid_rows();
    int64_t length = run.steps(), seen = 0, part = 1;
    for (int64_t n = 0; n < rows && part < parts; ++n) {
        while (length > 0 && run.active(length - 1) <= n) --length;
        seen += length;
        while (part < parts && seen * parts >= total * part) run.row_bounds[size_t(part++)] = n + 1;
    }
}

// Weights beyond both L2 caches stream from L3 for every step: with few rows it is better that each part reads only its own
// units.
constexpr int64_t weights_worth_splitting = int64_t(2) << 20, rows_hiding_weights = 16;

// Depends on the program and the call alone, never on the real team: the same call gives the same bits.
template <class T> void choose_split(Run<T>& run) {
    // A step costs its arithmetic or the passing of its weights, a byte of which takes about as long as a flop.
    const double step = double(run.program.step_flops), passing = double(run.program.pack_bytes) * double(run.steps());
    const double work = std::max(step * double(run.valid_rows()), passing);
    const int64_t widest_step = run.steps() ? run.active(0) : 0;
    run.parts = std::clamp(run.call.threads, 1, most_parts);
    run.split_units = false;
    if (run.parts > 1 && work < run_worth_threads) run.parts = 1;
    const int64_t usual_step = run.steps() ? run.active(run.steps() / 2) : 0;  // half of a ragged batch's steps have fewer rows
    const bool heavy = run.program.pack_bytes > weights_worth_splitting;
    if (run.parts == 1 || usual_step >= (heavy ? rows_hiding_weights : rows_worth_splitting) * run.parts) return;
    if (step * double(usual_step) >= step_worth_barrier && run.program.widest_units > run.kernels.slab)
        run.split_units = true;
    else if (widest_step < 2 * run.parts)  // too narrow for units: a row or two each
        run.parts = 1;
}

// A row or two read their weights for little arithmetic, and weights that fill much of L3 are slow to read for any number. Those
// of given inputs a loop then reads once for so many steps that the rows together are worth it.
constexpr int64_t rows_worth_ahead = 2, weights_worth_ahead = int64_t(12) << 20, rows_ahead = everywhere_chunk;

template <class T> void choose_ahead(Run<T>& run) {
    const Program& p = run.program;
    int64_t width = 0, rows = run.split_units ? run.rows() : 0;  // rows that a part has at most
    for (const Phase& phase : p.phases) width = std::max(width, phase.ahead_width);
    for (size_t part = 0; !run.split_units && part < size_t(run.parts); ++part)
        rows = std::max(rows, run.row_bounds[part + 1] - run.row_bounds[part]);
    if (!width || !rows || !run.steps()) return;
    const int64_t usual = run.valid_rows() / (run.steps() * (run.split_units ? 1 : run.parts));
    const int64_t steps = std::min(run.steps(), rows_ahead / rows);
    if (steps < 2 || (usual > rows_worth_ahead && p.pack_bytes < weights_worth_ahead)) return;
    run.steps_ahead = steps;
    run.ahead_elements = steps * rows * width;
}

// Weight gradients so small stay in the nearest caches, one for each part; so many rows of a part are worth adding the parts' up.
constexpr int64_t sums_worth_own = int64_t(512) << 10, rows_worth_own = 4 * outer_depth;

template <class T> bool sums_apart(const Run<T>& run) {
    const int64_t bytes = run.program.sum_elements * int64_t(sizeof(T));
    return !run.split_units && bytes && bytes <= sums_worth_own && run.valid_rows() >= rows_worth_own * run.parts;
}

template <class T> void go_through(void* data, int id, int count) {
    Run<T>& run = *static_cast<Run<T>*>(data);
    const Program& p = run.program;
    char* next = run.scratch + id * run.scratch_bytes;
    const auto take = [&](int64_t bytes) {
        char* block = next;
        next += round_up(bytes, 64);
        return block;
    };
    Worker<T> worker{run, id, count, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
    worker.tiles = reinterpret_cast<T*>(take(p.tile_elements * int64_t(sizeof(T))));
    worker.registers = reinterpret_cast<T*>(take(p.register_elements * int64_t(sizeof(T))));
    worker.outer = reinterpret_cast<T*>(take(p.outer_elements * int64_t(sizeof(T))));
    worker.pairs = reinterpret_cast<uint32_t*>(take(p.pair_elements * int64_t(sizeof(uint32_t))));
    worker.begun = reinterpret_cast<T*>(take(run.ahead_elements * int64_t(sizeof(T))));
    worker.base = reinterpret_cast<T**>(take(int64_t(p.operands.size()) * 8));
    worker.walks = reinterpret_cast<Walk<T>*>(take(int64_t(p.operands.size() * sizeof(Walk<T>))));
    worker.pointers = reinterpret_cast<const T**>(take(p.pointer_count * 8));
    worker.addresses = reinterpret_cast<Address<T>*>(take(p.address_count * int64_t(sizeof(Address<T>))));
    if (!run.call.keep_packs) pack_weights(worker);
    for (size_t at = 0; at < p.phases.size(); ++at) {
        const Phase& phase = p.phases[at];
        const bool sums = phase.outer_together && run.sum_stride;
        if ((phase.together > 1 || sums) && !run.split_units) {
            run_together(worker, &phase, phase.together, sums ? &phase + phase.together : nullptr);
            at += size_t(phase.together - !sums);
            continue;
        }
        if (phase.kind == PhaseKind::loop) run_loop(worker, phase);
        if (phase.kind == PhaseKind::everywhere) run_everywhere(worker, phase);
        if (phase.kind == PhaseKind::outer) run_outer(worker, phase);
    }
}

uint32_t hash_call(const rc_call& call) {
    uint32_t h = 0x9E3779B9u;
    for (uint32_t k : {uint32_t(call.seed), uint32_t(call.seed >> 32), call.layer, call.direction}) h = coin_mix(h ^ k);
    return h;
}

template <class T> double measure_peak(int threads) {
    struct Job {
        double flops[most_parts] = {};
    } job;
    const auto work = [](void* data, int id, int) {
        alignas(64) T sink[64];
        static_cast<Job*>(data)->flops[id] = kernels<T>().fma_work(4000000, sink);
    };
    run_team(threads, work, &job);  // warm
    std::fill_n(job.flops, most_parts, 0.0);
    const auto start = std::chrono::steady_clock::now();
    run_team(threads, work, &job);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    double flops = 0;
    for (double f : job.flops) flops += f;
    return flops / seconds * 1e-9;
}

// What one thread writes begins where no other prefetches: a kernel that goes through a panel asks for lines beyond its end, and a
// line that two threads want at every step travels between their caches. Without it Elman's forward pass at four rows of 32 a thread
// took 2.8 times as long.
int64_t apart(int64_t bytes) { return bytes ? round_up(bytes + prefetched_bytes, 4096) : 0; }

}  // namespace

template <class T>
PreparedRun<T>::PreparedRun(const Program& p, void* const* buffers, const rc_call& call)
    : run_{p, call, kernels<T>(), buffers, nullptr, nullptr, 0, nullptr, 0, nullptr, 0, 1, false, 0, 0, {}, {}, hash_call(call)} {
    number_valid(run_);
    choose_split(run_);
    bound_rows(run_);
    choose_ahead(run_);
    const int64_t pack_bytes = call.packs ? 0 : apart(p.pack_bytes);
    run_.accumulator_stride = apart(p.accumulator_elements * int64_t(sizeof(T))) / int64_t(sizeof(T));
    const int64_t sum_bytes = run_.parts * run_.accumulator_stride * int64_t(sizeof(T));
    run_.sum_stride = sums_apart(run_) ? apart(p.sum_elements * int64_t(sizeof(T))) / int64_t(sizeof(T)) : 0;
    const int64_t gradient_bytes = run_.parts * run_.sum_stride * int64_t(sizeof(T));
    const int64_t elements = p.tile_elements + p.register_elements + p.outer_elements + run_.ahead_elements;
    const int64_t pointers = int64_t(p.operands.size()) + p.pointer_count;
    const int64_t addresses = p.address_count * int64_t(sizeof(Address<T>)) + int64_t(p.operands.size() * sizeof(Walk<T>));
    // 64 bytes of rounding for each of the nine blocks.
    run_.scratch_bytes = apart(elements * int64_t(sizeof(T)) + p.pair_elements * 4 + pointers * 8 + addresses + 9 * 64);
    block_.emplace(pack_bytes + sum_bytes + gradient_bytes + run_.parts * run_.scratch_bytes);
    run_.packs = call.packs ? static_cast<char*>(call.packs) : block_->data();
    run_.accumulators = reinterpret_cast<T*>(block_->data() + pack_bytes);
    run_.sums = reinterpret_cast<T*>(block_->data() + pack_bytes + sum_bytes);
    run_.scratch = block_->data() + pack_bytes + sum_bytes + gradient_bytes;
}

template <class T> void PreparedRun<T>::go() { run_team(run_.parts, go_through<T>, &run_); }
template <class T> void PreparedRun<T>::work(int id, int count) { go_through<T>(&run_, id, count); }

template class PreparedRun<float>;
template class PreparedRun<double>;

void check_run(Program& p, void* const* buffers, const rc_call& call) {
    ensure_prepared(p);
    check_call(p, buffers, call);
}

// One panel of pairs: units [unit, unit + valid), neighbours along k together.
template <class T> void pack_pairs(const Kernels<T>& k, const Matrix& m, const T* weights, int64_t unit, int64_t valid, uint32_t* to) {
    const int64_t width = round_up(valid, k.lanes), pairs = pair_count(m.depth());
    std::fill(to, to + pairs * width, 0u);
    if (m.transposed) {
        const std::vector<T> zeros(size_t(valid), T(0));  // an odd depth's last neighbour
        for (int64_t i = 0; i < pairs; ++i) {
            const T* row = weights + 2 * i * m.ld + unit;
            k.pair_rows(row, 2 * i + 1 < m.depth() ? row + m.ld : zeros.data(), valid, to + i * width);
        }
        return;
    }
    std::vector<uint32_t> row(size_t(pairs) + 16);
    for (int64_t u = 0; u < valid; ++u) {
        k.pair_neighbours(weights + (unit + u) * m.ld, m.depth(), row.data());
        for (int64_t i = 0; i < pairs; ++i) to[i * width + u] = row[size_t(i)];
    }
}

template <class T> void pack_weights(Worker<T>& w) {
    const Kernels<T>& k = w.run.kernels;
    int64_t number = 0;  // panels go round the parts
    for (const Matrix& m : w.run.program.matrices) {
        const T* weights = w.run.buffer(m.buffer) + m.offset;
        for (int64_t unit = 0; unit < m.units(); unit += k.panel, ++number) {
            if (number % w.run.parts % w.count != w.id) continue;
            const int64_t valid = std::min<int64_t>(k.panel, m.units() - unit), width = round_up(valid, k.lanes);
            if (w.run.program.pairs) {
                auto* pairs = reinterpret_cast<uint32_t*>(w.run.packs + m.pack_offset) + unit * pair_count(m.depth());
                pack_pairs(k, m, weights, unit, valid, pairs);
                continue;
            }
            T* to = reinterpret_cast<T*>(w.run.packs + m.pack_offset) + unit * m.depth();
            if (width > valid)
                for (int64_t i = 0; i < m.depth(); ++i) std::fill(to + i * width + valid, to + (i + 1) * width, T(0));
            if (!m.transposed)
                k.transpose(weights + unit * m.ld, m.ld, to, width, valid, m.depth());
            else
                for (int64_t i = 0; i < m.depth(); ++i) std::memcpy(to + i * width, weights + i * m.ld + unit, size_t(valid) * sizeof(T));
        }
    }
    w.barrier();
}

int64_t pack_bytes(Program& p) {
    ensure_prepared(p);
    return p.pack_bytes;
}

void run_program(Program& p, void* const* buffers, const rc_call& call) {
    check_run(p, buffers, call);
    if (p.dtype)
        PreparedRun<double>(p, buffers, call).go();
    else
        PreparedRun<float>(p, buffers, call).go();
}

namespace {

constexpr int64_t rows_hiding_another = 24;  // rows of each part, above which a run has use for all threads

// Whether a run leaves threads idle, or makes them meet for little: then it is better off with fewer.
bool is_narrow(const Program& p, const rc_call& call) {
    const int64_t widest = call.active && call.steps ? call.active[0] : call.rows;
    return call.threads > 1 && widest < rows_hiding_another * call.threads && p.pack_bytes <= weights_worth_splitting;
}

double operations(const Program& p, const rc_call& call) {
    int64_t valid = call.active ? 0 : call.steps * call.rows;
    for (int64_t t = 0; call.active && t < call.steps; ++t) valid += call.active[t];
    return double(p.step_flops) * double(valid);
}

// Several runs of one type on one team: thread `id` belongs to run id / parts. Where fewer threads come, each takes whole runs.
template <class T> class SideBySide {
  public:
    SideBySide(int count, Program* const* programs, void* const* const* buffers, const rc_call* calls) : calls_(calls, calls + count) {
        for (rc_call& call : calls_) call.threads = std::max(1, call.threads / count);
        for (int i = 0; i < count; ++i) parts_ = std::max(parts_, runs_.emplace_back(*programs[i], buffers[i], calls_[size_t(i)]).parts());
        threads_ = std::min(calls[0].threads, count * parts_);
    }

    void go() { run_team(threads_, [](void* self, int id, int count) { static_cast<SideBySide*>(self)->work(id, count); }, this); }

  private:
    void work(int id, int count) {
        const int runs = int(runs_.size());
        if (count < runs * parts_) {
            for (int i = id; i < runs; i += count) runs_[size_t(i)].work(0, 1);
            return;
        }
        PreparedRun<T>& run = runs_[size_t(id / parts_)];
        if (id % parts_ < run.parts()) run.work(id % parts_, run.parts());
    }

    std::vector<rc_call> calls_;  // the runs refer to them
    std::deque<PreparedRun<T>> runs_;
    int parts_ = 1, threads_ = 1;
};

}  // namespace

void run_programs(int count, Program* const* programs, void* const* const* buffers, const rc_call* calls) {
    bool narrow = count > 1;
    double work = 0;
    for (int i = 0; i < count; ++i) {
        check_run(*programs[i], buffers[i], calls[i]);
        narrow = narrow && is_narrow(*programs[i], calls[i]) && programs[i]->dtype == programs[0]->dtype && calls[i].threads == calls[0].threads;
        work += operations(*programs[i], calls[i]);
    }
    if (!narrow || work < run_worth_threads) {
        for (int i = 0; i < count; ++i) run_program(*programs[i], buffers[i], calls[i]);
    } else if (programs[0]->dtype) {
        SideBySide<double>(count, programs, buffers, calls).go();
    } else {
        SideBySide<float>(count, programs, buffers, calls).go();
    }
}

double fma_peak(int threads, int dtype) {
    if (threads < 1 || threads > most_parts) fail("rc_fma_peak: %d threads", threads);
    return dtype ? measure_peak<double>(threads) : measure_peak<float>(threads);
}

}  // namespace recell
