/** What is added to a block's logits: the log weight, and each row's bias, if there is one. */
export function blockAddends(bias: usize, first: i32, count: i32, logWeight: f32, into: usize): void {
  for (let at: usize = 0; at < 256; at += 16) v128.store(into + at, f32x4.splat(logWeight))
  if (bias == 0) return
  bias += <usize>first << 2
  for (let at: usize = 0; at < <usize>count << 2; at += 4) store<f32>(into + at, logWeight + load<f32>(bias + at))
}
