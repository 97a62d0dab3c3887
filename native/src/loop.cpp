// A time loop by rows, by units, or as a scan.
#include "loop.h"

namespace recell {

template <class T> void run_loop(Worker<T>& w, const Phase& phase) {
    Loop<T> loop(w, phase);
    if (w.run.split_units && phase.units_apart && !w.run.call.active && w.run.steps())
        loop.scan_units();
    else if (w.run.split_units)
        loop.split_units();
    else
        loop.split_rows();
    write_accumulators(w, phase);
}

template void run_loop(Worker<float>&, const Phase&);
template void run_loop(Worker<double>&, const Phase&);

}  // namespace recell
