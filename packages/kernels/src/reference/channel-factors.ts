import { toHalf, toHalfSaturated } from '../half.ts'

/** Each channel's sqrt(max |x|) over all rows `[rows][headDim]`, as halves; 1 where that would be 0. */
export function channelFactors(x: Float32Array, headDim: number): Uint16Array {
  const most = new Float32Array(headDim)
  for (let i = 0; i < x.length; i++) most[i % headDim] = Math.max(most[i % headDim], Math.abs(x[i]))
  return Uint16Array.from(most, (value) => toHalfSaturated(Math.sqrt(value)) || toHalf(1))
}
