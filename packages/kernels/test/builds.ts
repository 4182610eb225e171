import { setFlagsFromString } from 'node:v8'
import { type Build, product } from '../src/wasm/relaxed-simd.ts'

if (product(1, 1) === undefined) setFlagsFromString('--experimental-wasm-relaxed-simd')

/** False where there is no relaxed SIMD, or, as in Node 20 behind its flag, one that doubles sums. */
const relaxed = product(127, 15) === 4 * 127 * 15
if (!relaxed) console.log(`SKIPPED the relaxed builds in Node ${process.version}: it has no relaxed SIMD that works`)

/** The builds that this engine runs, however fast. */
export const builds: Build[] = relaxed ? ['plain', 'fused', 'relaxed'] : ['plain']
