#include "kernels/runtime/npy.h"

#include <bit>
#include <vector>

#include "kernels/base/output_file.h"
#include "kernels/base/user_error.h"
#include "kernels/runtime/bfloat16.h"

namespace treeformer::runtime {
namespace {

static_assert(std::endian::native == std::endian::little);

const char* Description(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return "<f8";
    case DType::kInt32:
      return "<i4";
    default:
      return "<f4";
  }
}

// Magic, version, the header's length, and the header: a Python literal, filled up with spaces so
// that the values begin at a multiple of 64 bytes.
std::string Header(DType dtype, const Shape& shape) {
  constexpr size_t kPreamble = 10, kAlignment = 64;
  std::string extents;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    extents += Sentence(axis > 0 ? ", " : "", shape[axis]);
  }
  if (shape.rank() == 1) extents += ',';  // a tuple of one
  std::string header = Sentence("{'descr': '", Description(dtype),
                                "', 'fortran_order': False, 'shape': (", extents, "), }");
  header.append(kAlignment - 1 - (kPreamble + header.size()) % kAlignment, ' ');
  header += '\n';
  const char length[] = {static_cast<char>(header.size() % 256),
                         static_cast<char>(header.size() / 256)};
  return std::string("\x93NUMPY\x01\x00", 8) + std::string(length, 2) + header;
}

}  // namespace

void DumpNpy(Context& ctx, const std::string& path, In view) {
  const Buffer host(Device::kCpu, view.dtype(), view.shape());
  Copy(ctx, host, view);
  ctx.Synchronize();
  OutputFile file(path);
  const std::string header = Header(view.dtype(), view.shape());
  file.Append(header.data(), static_cast<int64_t>(header.size()));
  if (view.dtype() == DType::kBFloat16) {
    std::vector<float> widened(view.count());
    cpu::WidenToFloat32(widened.data(), host.as<BFloat16>().data(), view.count());
    file.Append(widened.data(), view.count() * SizeOf(DType::kFloat32));
  } else {
    file.Append(host.view().data(), host.bytes());
  }
  file.Commit();
}

}  // namespace treeformer::runtime
