#include "launcher/bench/timing/operator_table.h"

#include <iomanip>
#include <nlohmann/json.hpp>

namespace treeformer::bench {
namespace {

void PrintProblem(std::ostream& out, const ModuleSize& size, const std::string& name) {
  out << std::setw(3) << size.sequences << std::setw(4) << size.heads << std::setw(8) << size.length
      << std::setw(5) << size.head_width << "  " << std::left << std::setw(22) << name
      << std::right;
}

void PrintRate(std::ostream& out, double amount, double seconds) {
  out << std::setw(9);
  if (amount > 0) {
    out << amount / seconds;
  } else {
    out << "-";
  }
}

}  // namespace

OperatorTable::OperatorTable(const TimingOptions& options, std::ostream& out)
    : run_(DescribeRun(options)), out_(out), json_(options) {}

void OperatorTable::AddRates(const MachineRates& rates, int64_t matmul) {
  out_
      << "attention operators, " << run_ << "; medians\ncopy " << std::fixed << std::setprecision(0)
      << rates.copy_bytes_per_second * 1e-9 << " GB/s read and written; matrix product " << matmul
      << "^3 " << std::setprecision(1) << rates.matmul_flops_per_second * 1e-12
      << " TFLOP/s\nuseful: share of the scores that the GPU's kernel computes; GB/s: of what must "
         "be moved\n\n"
      << "  B   H       n    e  attention             pass                          us  TFLOP/s"
         "  useful     GB/s  density       MiB\n"
      << std::flush;
  json_.Write({{"copy_bytes_per_second", rates.copy_bytes_per_second},
               {"matmul_flops_per_second", rates.matmul_flops_per_second}});
}

void OperatorTable::Add(const ModuleSize& size, const std::string& name, const MeasuredRow& row) {
  for (const Measured& measured : row.passes) AddPass(size, name, row, measured);
}

void OperatorTable::LeaveOut(const ModuleSize& size, const std::string& name,
                             const std::string& why) {
  PrintProblem(out_, size, name);
  out_ << "left out: " << why << "\n" << std::flush;
}

void OperatorTable::AddPass(const ModuleSize& size, const std::string& name, const MeasuredRow& row,
                            const Measured& measured) {
  PrintProblem(out_, size, name);
  out_ << std::left << std::setw(22) << measured.pass << std::right << std::fixed
       << std::setprecision(1) << std::setw(10) << measured.seconds * 1e6;
  PrintRate(out_, measured.work.flops * 1e-12, measured.seconds);
  out_ << std::setprecision(2) << std::setw(8) << row.useful_share << std::setprecision(0);
  PrintRate(out_, measured.work.bytes * 1e-9, measured.seconds);
  out_ << std::setprecision(4) << std::setw(9) << row.density << std::setw(10)
       << (measured.held_bytes >> 20) << "\n"
       << std::flush;
  json_.Write({{"sequences", size.sequences},
               {"heads", size.heads},
               {"head_width", size.head_width},
               {"length", size.length},
               {"attention", name},
               {"pass", measured.pass},
               {"seconds", measured.seconds},
               {"density", row.density},
               {"flops", measured.work.flops},
               {"bytes", measured.work.bytes},
               {"useful_share", row.useful_share},
               {"held_bytes", measured.held_bytes}});
}

}  // namespace treeformer::bench
