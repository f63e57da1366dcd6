#include "launcher/program/failure.h"

#include <filesystem>
#include <new>
#include <system_error>

#include "kernels/base/user_error.h"
#include "launcher/program/command.h"

namespace treeformer {

Failure Explain(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const UserError& error) {
    return {Sentence("treeformer: ", error.what()), kBadInput};
  } catch (const std::filesystem::filesystem_error& error) {
    return {Sentence("treeformer: ", error.path1().string(),
                     " cannot be used: ", error.code().message()),
            kBadInput};
  } catch (const std::bad_alloc&) {
    return {
        "treeformer: out of memory: this machine, or a limit (ulimit -v), grants no more; "
        "`treeformer plan` tells what a run needs",
        kBadInput};
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::resource_unavailable_try_again) {
      return {Sentence("treeformer: a fault of the program: ", error.what()), dist::kInternalError};
    }
    return {
        "treeformer: a thread cannot be started: this machine, or a limit (ulimit -u, ulimit -v), "
        "grants no more",
        kBadInput};
  } catch (const std::exception& error) {
    return {Sentence("treeformer: a fault of the program: ", error.what()), dist::kInternalError};
  } catch (...) {
    return {"treeformer: a fault of the program: an exception of an unknown type",
            dist::kInternalError};
  }
}

}  // namespace treeformer
