#include "core/training/config.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "core/attention/tc_attention_layer.h"
#include "core/attention/tf_attention_layer.h"
#include "kernels/base/user_error.h"

namespace treeformer {

namespace {

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

ModelConfig SmallModel() {
  return MakeModelConfig(Parse<config::Model>("layers: 2 width: 8 heads: 2"), 100, 16);
}

// The sentence of the UserError that `make` throws.
template <typename Make>
std::string Refusal(const Make& make) {
  try {
    make();
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ModelConfig, FillsWhatDependsOnOtherFields) {
  const ModelConfig model = SmallModel();
  EXPECT_EQ(model.feed_forward, 32);
  EXPECT_EQ(model.max_positions, 16);
  EXPECT_EQ(model.attention.size(), 2u);
}

TEST(ModelConfig, RefusalsNameFieldValueAndWhatIsAllowed) {
  const auto refusal = [](const std::string& text) {
    return Refusal([&] { MakeModelConfig(Parse<config::Model>(text), 100, 16); });
  };
  EXPECT_EQ(refusal("width: 10 heads: 3"), "model.heads is 3; allowed: a divisor of model.width");
  EXPECT_EQ(refusal("layers: 0"), "model.layers is 0; allowed: 1 to 10000");
  EXPECT_EQ(refusal("dropout: 1"), "model.dropout is 1; allowed: from 0 to below 1");
  EXPECT_EQ(refusal("max_positions: 8"),
            "model.max_positions is 8; allowed: 0 (the sequence length), or no less than the "
            "sequence length");
}

BootstrapConfig Make(const std::string& text) {
  return MakeBootstrapConfig(Parse<config::Bootstrap>(text), SmallModel());
}

TEST(BootstrapConfig, ChoosesTheGradientThatFitsTheKind) {
  const BootstrapConfig tf = Make("tree_steps: 9 attention { kind: TF height: 3 }");
  EXPECT_EQ(tf.attention.tree.gradient, TreeGradient::kFlip);
  EXPECT_EQ(tf.attention.shape, TreeShape::Binary(3));
  const BootstrapConfig tc =
      Make("tree_steps: 9 attention { kind: TC height: 3 attention_dropout: 0 }");
  EXPECT_EQ(tc.attention.tree.gradient, TreeGradient::kDense);
  const BootstrapConfig kary = Make("tree_steps: 9 attention { branching: 10 branching: 4 }");
  EXPECT_EQ(kary.attention.shape, TreeShape::Kary({10, 4}));
}

TEST(BootstrapConfig, DropoutOfTreesIsThatOfTheModelUnlessGivenAndTcHasNone) {
  EXPECT_EQ(Make("tree_steps: 9 attention { height: 3 }").attention.dropout, 0.1f);
  EXPECT_EQ(Make("tree_steps: 9 attention { height: 3 attention_dropout: 0.25 }").attention.dropout,
            0.25f);
  const auto refusal = [](const std::string& tree) {
    return Refusal([&] { Make("tree_steps: 9 attention { height: 3 " + tree + " }"); });
  };
  EXPECT_TRUE(refusal("kind: TC").starts_with("model.attention_dropout is 0.1; allowed: 0 with"))
      << refusal("kind: TC");
  EXPECT_TRUE(refusal("kind: TC attention_dropout: 0.2")
                  .starts_with("bootstrap.attention.attention_dropout is 0.2; allowed: 0 with"));
  EXPECT_EQ(refusal("kind: TC attention_dropout: 0"), "accepted");
  EXPECT_EQ(refusal("attention_dropout: 1"),
            "bootstrap.attention.attention_dropout is 1; allowed: from 0 to below 1");
}

std::vector<AttentionConfig> Layers(const std::string& text) {
  const std::string model = "layers: 4 width: 8 heads: 2 " + text;
  return MakeModelConfig(Parse<config::Model>(model), 100, 16).attention;
}

TEST(LayerAttention, OfAModelThatSaysNothingIsFull) {
  for (const AttentionConfig& attention : Layers("")) {
    EXPECT_EQ(attention.kind, &kFullAttention);
    EXPECT_FALSE(attention.HasTrees());
    EXPECT_FALSE(attention.dropout.has_value());
  }
}

TEST(LayerAttention, IsThatOfTheModelWhereTheLayerHasNone) {
  const std::vector<AttentionConfig> layers = Layers(
      "attention { kind: TF height: 2 attention_dropout: 0.25 } "
      "layer_attention { first_layer: 2 last_layer: 3 attention { kind: FULL } } "
      "layer_attention { first_layer: 4 "
      "                  attention { kind: TC branching: 3 gradient: FLIP attention_dropout: 0 } "
      "}");
  EXPECT_EQ(layers[0].kind, &kTfAttention);
  EXPECT_EQ(layers[0].shape, TreeShape::Binary(2));
  EXPECT_EQ(layers[0].tree.gradient, TreeGradient::kFlip);
  EXPECT_EQ(layers[0].dropout, 0.25f);
  EXPECT_EQ(layers[1].kind, &kFullAttention);
  EXPECT_EQ(layers[2].kind, &kFullAttention);
  EXPECT_EQ(layers[3].kind, &kTcAttention);
  EXPECT_EQ(layers[3].shape, TreeShape::Kary({3}));
}

TEST(LayerAttention, RefusalsNameFieldValueAndWhatIsAllowed) {
  const auto refusal = [](const std::string& text) { return Refusal([&] { Layers(text); }); };
  EXPECT_TRUE(refusal("attention { height: 2 }")
                  .starts_with("model.attention.kind is missing; allowed: FULL, TF, TC"))
      << refusal("attention { height: 2 }");
  EXPECT_EQ(refusal("attention { kind: TF height: 17 }"),
            "model.attention.height is 17; allowed: 1 to 16");
  EXPECT_EQ(refusal("attention { kind: FULL height: 2 }"),
            "model.attention.height is given with kind: FULL; allowed with it: attention_dropout");
  EXPECT_TRUE(refusal("attention { kind: TC height: 2 }")
                  .starts_with("model.attention_dropout is 0.1; allowed: 0 with "
                               "model.attention.kind: TC"));
  EXPECT_EQ(refusal("layer_attention { first_layer: 5 attention { kind: FULL } }"),
            "model.layer_attention.first_layer is 5; allowed: 1 to model.layers = 4");
  EXPECT_EQ(refusal("layer_attention { first_layer: 2 last_layer: 1 attention { kind: FULL } }"),
            "model.layer_attention of layer 2: last_layer is 1; allowed: first_layer to "
            "model.layers = 4");
  EXPECT_EQ(refusal("layer_attention { first_layer: 2 attention { kind: TF } }"),
            "model.layer_attention of layer 2: attention gives height 0 and 0 values of branching; "
            "expected either height (binary) or branching (k-ary), one of them");
  EXPECT_EQ(refusal("layer_attention { first_layer: 1 last_layer: 3 attention { kind: FULL } } "
                    "layer_attention { first_layer: 3 attention { kind: FULL } }"),
            "model.layer_attention of layer 3 is given twice; allowed: once for each layer");
}

TEST(LayerAttention, OfASlidingWindowNeedsItsWindowAndTakesNoTree) {
  const auto refusal = [](const std::string& numbers) {
    return Refusal([&] { Layers("attention { kind: SLIDING_WINDOW " + numbers + " }"); });
  };
  EXPECT_EQ(refusal("window: 64 attention_dropout: 0"), "accepted");
  EXPECT_EQ(refusal(""), "model.attention.window is missing; allowed: 0 or more tokens");
  EXPECT_EQ(refusal("window: -1"), "model.attention.window is -1; allowed: 0 or more tokens");
  EXPECT_EQ(refusal("window: 8 height: 2"),
            "model.attention.height is given with kind: SLIDING_WINDOW; allowed with it: window, "
            "attention_dropout");
}

TEST(BootstrapConfig, GrowsTreesAlone) {
  EXPECT_EQ(Refusal([] { Make("tree_steps: 9 attention { kind: FULL }"); }),
            "bootstrap.attention.kind is FULL; allowed: TF or TC, which have trees that can grow");
}

TEST(ModelConfig, ACausalModelIsRefusedWithoutACausalObjective) {
  const std::string refusal =
      Refusal([] { MakeModelConfig(Parse<config::Model>("causal: true"), 100, 32); });
  EXPECT_TRUE(refusal.starts_with("model.causal is true; allowed: false: the objective"))
      << refusal;
}

TEST(BootstrapConfig, RefusesFormsThatDoNotExist) {
  const auto refusal = [](const std::string& text) { return Refusal([&] { Make(text); }); };
  EXPECT_NE(refusal("tree_steps: 9").find("bootstrap.attention is missing"), std::string::npos);
  EXPECT_NE(refusal("tree_steps: 9 attention { height: 2 branching: 3 }").find("one of them"),
            std::string::npos);
  EXPECT_NE(
      refusal("tree_steps: 9 attention { branching: 3 gradient: DENSE }").find("FLIP or NONE"),
      std::string::npos);
  EXPECT_NE(
      refusal("tree_steps: 9 attention { height: 2 temperature: 0 }").find("temperature is 0"),
      std::string::npos);
  EXPECT_NE(refusal("tree_steps: 9 attention { height: 2 fold_projections: true }")
                .find("only with kind: TC"),
            std::string::npos);
}

TEST(OptimizerConfig, RefusesRatesOutsideTheirRange) {
  const auto refusal = [](const std::string& text) {
    return Refusal([&] { MakeOptimizerConfig(Parse<config::Optimizer>(text)); });
  };
  EXPECT_EQ(refusal("beta2: 1"), "optimizer.beta2 is 1; allowed: from 0 to below 1");
  EXPECT_EQ(refusal("learning_rate: 0"), "optimizer.learning_rate is 0; allowed: > 0");
  EXPECT_EQ(refusal(""), "accepted");
}

}  // namespace

}  // namespace treeformer
