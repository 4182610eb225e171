import { z } from 'zod'

// Servers forbid pages to make functions from text, and browsers report whoever tries.
z.config({ jitless: true })
