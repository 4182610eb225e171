import { memoryTier } from '../src/index.ts'
import { testTier } from './test-tier.ts'

testTier('memory', { make: memoryTier })
