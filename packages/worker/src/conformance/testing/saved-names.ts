/**
 * Names are part of the checkpoint format: a change here makes old checkpoints unreadable. Of a layer's variants that
 * differ, after a `|`, in the order of `variantsOf`.
 */
export const savedNames: Readonly<Record<string, string>> = {
  gla: 'q k v gate.down gate.up gate.bias g norm o',
  'simple-gla': 'q q.conv k k.conv v v.conv gate.weight gate.bias g norm o',
  lightning: 'q k v g norm o',
  'linear-attention': 'q k v o | q k v norm o',
  gsa: 'q k v f norm o',
  hgrn2: 'q f i lowerBound norm o',
  rwkv6:
    'mix.x mix.down mix.up.r mix.r mix.up.w mix.w mix.up.k mix.k mix.up.v mix.v mix.up.g mix.g r k v g decay.down decay.up decay.bias bonus norm.weight norm.bias o',
  mom: 'router q q.conv k k.conv v v.conv a a_log dt_bias b g norm o | router q q.conv k k.conv v v.conv gate.down gate.up gate.bias g norm o | router q q.conv k k.conv v v.conv a a_log dt_bias g norm o',
  deltanet: 'q q.conv k k.conv v v.conv b norm o | q q.conv k k.conv v v.conv b g norm o',
  'gated-deltanet': 'q q.conv k k.conv v v.conv a a_log dt_bias b g norm o',
  'gated-deltaproduct':
    'q q.conv k k.conv v v.conv b a a_log dt_bias g norm o | q q.conv k k.conv v v.conv b g norm o',
  kda: 'q q.conv k k.conv v v.conv f.down f.up a_log dt_bias b g.down g.up g.bias norm o',
  comba: 'q q.conv k k.conv v v.conv decay d a a_log dt_bias b g norm o',
  'gated-oja': 'q q.conv k k.conv v v.conv f.down f.up a_log dt_bias b g.down g.up g.bias norm o',
  hgrn: 'i f g lowerBound norm o',
  mamba: 'in conv.weight conv.bias x dt dt_bias a_log d out',
  mamba2: 'in conv.weight conv.bias a_log dt_bias d norm out',
  'softmax-attention': 'q k v o | q k v o q.norm k.norm',
  rat: 'in gate.bias o',
  retnet: 'q k v g norm o',
  based: 'q k v o',
  rebased: 'featureMap.gamma featureMap.beta q k v o',
  rwkv7:
    'x_r x_w x_k x_v x_a x_g r k v o w_lora.down w_lora.up w_lora.bias a_lora.down a_lora.up a_lora.bias v_lora.down v_lora.up v_lora.bias g_lora.down g_lora.up k_k k_a r_k g_norm.weight g_norm.bias',
  s4d: 'kernel.c kernel.log_dt kernel.log_a_real kernel.a_imag d out.weight out.bias',
  s5: 'lambda_re lambda_im log_step b c d gate.weight gate.bias',
  h3: 'q.weight q.bias k.weight k.bias v.weight v.bias shift.conv shift.d kernel.c kernel.log_dt kernel.log_a_real kernel.a_imag kernel.b d out.weight out.bias',
  mesanet:
    'q q.conv k k.conv v a a.bias b b.bias lambda norm o | q q.conv k k.conv v a a.bias b b.bias lambda g norm o',
  mlstm: 'up conv.weight conv.bias q k v i i.bias f f.bias norm skip down',
  slstm: 'conv.weight conv.bias i f z o bias recurrent norm',
};
