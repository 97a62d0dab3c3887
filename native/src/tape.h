// The kernel calls of one step of a loop, recorded while three steps run and repeated for those that follow: from step to step they
// differ in nothing but their pointers, which move on by one distance after even steps and another after odd ones. A step of few rows
// and units spends less on its arithmetic than on finding out what to call with what.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels.h"

namespace recell {

template <class T> class Tape {
  public:
    enum class Kind { product, product_of_pairs, point, sum, sum_all, copy, fill, round };

    static constexpr int passes = 3;             // recorded steps: two distances
    static constexpr int64_t worth_steps = 12;   // fewer alike, and recording costs more than repeating saves
    static constexpr size_t most_calls = 96;     // of a step: more have arithmetic enough

    void clear() {
        pass_ = 0;
        fits_ = true;
        calls_.clear();
        ends_.clear();
    }
    bool recording() const { return fits_ && pass_ < passes; }
    bool ready() const { return fits_ && pass_ == passes; }
    void refuse() { fits_ = false; }

    // -- recording: between begin() and end() every stage records its calls and ends with end_stage() ---------------------------------
    void begin() {
        words_[pass_].clear();
        count_ = 0;
    }
    void end_stage() {
        if (pass_ == 0) ends_.push_back(calls_.size());
    }
    void end() {
        fits_ = fits_ && count_ == calls_.size() && words_[pass_].size() == words_[0].size();
        if (!fits_ || ++pass_ < passes) return;
        for (int odd = 0; odd < 2; ++odd) {
            distances_[odd].resize(words_[0].size());
            for (size_t i = 0; i < words_[0].size(); ++i) distances_[odd][i] = words_[odd + 1][i] - words_[odd][i];
        }
        odd_ = 0;
        now_ = words_[passes - 1].data();
        for (const Call& call : calls_)
            for (int i = 0; i < call.products(); ++i) {
                Word& rows = now_[call.words + 2 + size_t(i) * product_words];
                rows = Word(now_ + rows);
            }
    }

    // Row pointers that the products of a stage read; returns where they begin.
    void rows(const void* pointers, int64_t count) {
        rows_ = words().size();
        append(pointers, size_t(count));
    }
    template <class E>
    void product(Kind kind, int64_t rows, const Product<E>* products, int count, const E* const* pointers, int width, T* target,
                 int64_t stride, Start<T> start) {
        Call& call = add(kind, rows, width);
        call.count = count, call.stride = stride, call.start_stride = start.stride;
        words().insert(words().end(), {Word(target), Word(start.first)});
        for (int i = 0; i < count; ++i)
            words().insert(words().end(), {Word(rows_) + (products[i].rows - pointers), products[i].depth, Word(products[i].panel)});
    }
    // A tile's operands; the points that follow name them by number.
    void operands(const Address<T>* addresses, size_t count) {
        operands_ = words().size();
        append(addresses, count * address_words);
    }
    void point(Kind kind, PointFunction<T> run, int64_t rows, int64_t width, int to, const int* from) {
        Call& call = add(kind, rows, width);
        call.words = operands_;
        call.run = run, call.to = to;
        std::memcpy(call.from, from, sizeof call.from);
    }
    void move(Kind kind, T* to, const T* from, int64_t count, T value = 0) {
        add(kind, 1, count).value = value;
        words().insert(words().end(), {Word(to), Word(from)});
    }

    // -- repeating: next_step(), then every stage -------------------------------------------------------------------------------------
    void next_step() {
        const int64_t* distance = distances_[odd_].data();
        const size_t count = distances_[odd_].size();
        Word* __restrict to = now_;
        for (size_t i = 0; i < count; ++i) to[i] += distance[i];
        odd_ = 1 - odd_;
    }
    void run_stage(const Kernels<T>& k, size_t stage, Ahead* ahead) {
        for (size_t i = stage ? ends_[stage - 1] : 0; i < ends_[stage]; ++i) run(k, calls_[i], ahead);
    }

  private:
    typedef int64_t Word __attribute__((may_alias));  // a pointer, or a number that never changes
    static constexpr size_t product_words = 3, address_words = 3;
    static_assert(sizeof(Product<T>) == product_words * sizeof(Word) && sizeof(Address<T>) == address_words * sizeof(Word));

    struct Call {
        Kind kind;
        int count = 0;  // of products
        int64_t rows, width, stride = 0, start_stride = 0;
        size_t words;   // where its pointers begin
        PointFunction<T> run = nullptr;
        int to = 0, from[3] = {};
        T value = 0;
        int products() const { return kind == Kind::product || kind == Kind::product_of_pairs ? count : 0; }
    };

    std::vector<int64_t>& words() { return words_[pass_]; }

    void append(const void* from, size_t count) {
        if (count == 0) return;  // from may be null: a sum without products
        const size_t at = words().size();
        words().resize(at + count);
        std::memcpy(words().data() + at, from, count * sizeof(Word));
    }

    Call& add(Kind kind, int64_t rows, int64_t width) {
        fits_ = fits_ && count_ < most_calls && (pass_ == 0 || count_ < calls_.size());
        if (pass_ == 0) calls_.push_back({kind, 0, rows, width, 0, 0, words().size()});
        if (fits_) return calls_[count_++];
        return spare_ = {kind, 0, rows, width, 0, 0, words().size()};
    }

    void run(const Kernels<T>& k, const Call& call, Ahead* ahead) {
        Word* at = now_ + call.words;
        const auto pointer = [&](int i) { return reinterpret_cast<T*>(at[i]); };
        const auto address = [&](int i) -> const Address<T>& { return reinterpret_cast<const Address<T>*>(at)[i]; };
        const auto multiply = [&]<class E>(E, auto gemm) {
            gemm(call.rows, reinterpret_cast<const Product<E>*>(at + 2), call.count, int(call.width), Target<T>{pointer(0), call.stride},
                 Start<T>{pointer(1), call.start_stride}, ahead);
        };
        const auto add = [&](auto accumulate, const Address<T>& to, const Address<T>& from) {
            accumulate(call.rows, call.width, to.first, from.first, from.stride);
        };
        switch (call.kind) {
            case Kind::product: return multiply(T{}, k.gemm);
            case Kind::product_of_pairs: return multiply(uint32_t{}, k.gemm_pairs);
            case Kind::point:
                return call.run(call.rows, call.width, address(call.to), address(call.from[0]), address(call.from[1]),
                                address(call.from[2]));
            case Kind::sum: return add(k.accumulate, address(call.to), address(call.from[0]));
            case Kind::sum_all: return add(k.accumulate_all, address(call.to), address(call.from[0]));
            case Kind::copy: std::memcpy(pointer(0), pointer(1), size_t(call.width) * sizeof(T)); return;
            case Kind::fill: std::fill_n(pointer(0), call.width, call.value); return;
            case Kind::round: return k.pair_neighbours(pointer(1), call.width, reinterpret_cast<uint32_t*>(at[0]));
        }
    }

    std::vector<Call> calls_;
    std::vector<size_t> ends_;  // of each stage's calls
    std::vector<int64_t> words_[passes], distances_[2];
    Word* now_ = nullptr;
    Call spare_{};
    size_t count_ = 0, rows_ = 0, operands_ = 0;  // of the step being recorded: its calls; where the latest rows and operands lie
    int pass_ = 0, odd_ = 0;
    bool fits_ = false;
};

}  // namespace recell
