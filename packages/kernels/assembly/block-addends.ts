/** What is added to a block's logits: the log weight, and each row's bias, if there is one. */
export function blockAddends(bias: usize, first: i32, count: i32, logWeight: f32, into: usize): void {
  for (let j = 0; j < 64; j++) {
    let addend = logWeight
    if (bias != 0 && j < count) addend += load<f32>(bias + (<usize>(first + j) << 2))
    store<f32>(into + (<usize>j << 2), addend)
  }
}
