#include "launcher/bench/timing/plain_attentions.h"

#include <glog/logging.h>
#include <google/protobuf/text_format.h>

#include "core/attention/attention.pb.h"
#include "core/attention/registry.h"
#include "kernels/base/user_error.h"

namespace treeformer::bench {

std::vector<PlainAttention> PlainAttentions() {
  std::vector<PlainAttention> attentions;
  for (const AttentionKind* kind : AttentionKinds()) {
    if (kind->benchmark == nullptr) continue;
    const std::string numbers = kind->benchmark;
    config::Attention attention;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        Sentence("kind: ", kind->name, " ", numbers), &attention));
    attentions.push_back({numbers.empty() ? kind->label : numbers,
                          MakeAttentionConfig(attention, {.name = kind->name})});
  }
  return attentions;
}

}  // namespace treeformer::bench
