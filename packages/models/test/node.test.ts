import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { engine } from '@tensorflow/tfjs-core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { urlFiles, urlSource } from '../src/files/url.ts'
import { cacheFolder, huggingFaceSnapshot } from '../src/node/cache-folder.ts'
import { download } from '../src/node/download.ts'
import { downloadFile, downloadModel, type HubOptions } from '../src/node/hub.ts'
import { loadModel } from '../src/node/load-model.ts'
import { loadModelFiles } from '../src/load.ts'
import { serveFiles, type FileServer } from './helpers/file-server.ts'
import { TINY, tinyWeights } from './helpers/tiny-model.ts'
import { floatBytes, writeSafetensors } from './helpers/write-safetensors.ts'

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))
const TOKENIZER = json({
  version: '1.0',
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: null,
  model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: [['a', 'b']] },
})
const MODEL: Record<string, Uint8Array> = {
  'config.json': json({
    model_type: 'llama',
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 48,
    vocab_size: 50,
    max_position_embeddings: 128,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
    eos_token_id: 1,
  }),
  'model.safetensors': writeSafetensors(
    Object.fromEntries(
      [...tinyWeights(TINY, 11).tensors].map(([name, { shape, data }]) => [name, { dtype: 'F32', shape, data: floatBytes(data) }]),
    ),
  ),
  'tokenizer.json': TOKENIZER,
}

let folder: string, server: FileServer, options: HubOptions
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvfold-models-'))
  server = await serveFiles(Object.fromEntries(Object.entries(MODEL).map(([name, bytes]) => [`/someone/tiny/resolve/main/${name}`, bytes])))
  options = { hubUrl: server.url, folder, pause: 1 }
})
afterEach(async () => {
  await server.close()
  await rm(folder, { recursive: true })
})
const failed = { code: 'DOWNLOAD' }

describe('the hub', () => {
  test('a model by its name: once over the network, then from disk', async () => {
    const seen: Record<string, number[]> = {}
    const { model, tokenizer } = await loadModel('someone/tiny', {
      ...options,
      onDownload: ({ file, done, total }) => (seen[file] ??= []).push(done / total),
    })
    expect(model.vocabulary).toBe(50)
    expect(tokenizer!.encode('ab')).toEqual([2])
    model.dispose()
    for (const steps of Object.values(seen)) {
      expect(steps.at(-1)).toBe(1)
      expect([...steps].sort((a, b) => a - b)).toEqual(steps)
    }
    const asked = server.requests.length
    server.status = 500
    const again = await downloadModel('someone/tiny', options)
    expect(server.requests.length).toBe(asked)
    expect((await readdir(again)).sort()).toEqual(Object.keys(MODEL).sort())
    for (const [name, bytes] of Object.entries(MODEL)) expect(new Uint8Array(await readFile(join(again, name)))).toEqual(bytes)
  })
  test('a broken transfer goes on where it stopped, in the same call and in a later one', async () => {
    server.breakAfter = 5000
    await downloadModel('someone/tiny', options)
    const ranges = server.requests
      .filter((line) => line.includes('model.safetensors'))
      .map((line) => Number(/bytes=(\d+)-$/.exec(line)?.[1] ?? 0))
    expect(Math.max(...ranges)).toBe(5000)

    server.breakAfter = 7000
    const later = { ...options, folder: join(folder, 'later'), retries: 0 }
    await expect(downloadModel('someone/tiny', later)).rejects.toMatchObject(failed)
    const place = join(folder, 'later', 'someone', 'tiny', 'main')
    expect((await readdir(place)).filter((name) => name.startsWith('model.safetensors'))).toEqual([expect.stringMatching(/\.part$/)])
    await downloadModel('someone/tiny', later)
    expect(server.requests.some((line) => line.endsWith('bytes=7000-'))).toBe(true)
    expect(new Uint8Array(await readFile(join(place, 'model.safetensors')))).toEqual(MODEL['model.safetensors'])
  })
  test('a server without ranges starts over', async () => {
    server.noRanges = true
    server.breakAfter = 5000
    const path = join(await downloadModel('someone/tiny', options), 'model.safetensors')
    expect(new Uint8Array(await readFile(path))).toEqual(MODEL['model.safetensors'])
  })
  test('says what is wrong, and leaves no file that looks whole', async () => {
    await expect(downloadModel('someone/none', options)).rejects.toThrow(/someone\/none has no config.json/)
    await expect(downloadFile('someone/tiny', 'x.gguf', options)).rejects.toThrow(/has no x.gguf/)
    for (const name of ['', 'tiny', 'a/b/c', '../x', 'a/..', 'a b/c'])
      await expect(downloadModel(name, options)).rejects.toMatchObject(failed)
    await expect(downloadModel('someone/tiny', { ...options, revision: '../up' })).rejects.toMatchObject(failed)
    await expect(downloadFile('someone/tiny', '../x', options)).rejects.toMatchObject(failed)
    server.status = 401
    await expect(downloadModel('someone/tiny', options)).rejects.toThrow(/401.*HF_TOKEN/)
    await expect(downloadModel('someone/tiny', { ...options, hubUrl: 'http://127.0.0.1:9' })).rejects.toMatchObject(failed)
    await expect(downloadModel('someone/tiny', { ...options, signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' })
    expect(await readdir(folder)).toEqual([])
  })
  test('does not retry what stays wrong, nor mix versions', async () => {
    const remote = { url: `${server.url}/nothing`, size: 10, etag: 'x' }
    await expect(download(remote, join(folder, 'x'), { pause: 1 })).rejects.toMatchObject({ ...failed, status: 404 })
    expect(server.requests.length).toBe(1)
    const url = `${server.url}/someone/tiny/resolve/main/config.json`
    await expect(download({ url, size: 10, etag: 'x' }, join(folder, 'x'), { retries: 0 })).rejects.toThrow(/expected 10/)
  })
  test('where models are kept', async () => {
    expect(cacheFolder({ HF_HUB_CACHE: '/a' })).toBe('/a/kvfold')
    expect(cacheFolder({ HF_HOME: '/b' })).toBe('/b/hub/kvfold')
    expect(cacheFolder({ XDG_CACHE_HOME: '/c' })).toBe('/c/kvfold')
    const commit = join(folder, 'models--someone--tiny/snapshots/abc')
    await mkdir(commit, { recursive: true })
    await mkdir(join(folder, 'models--someone--tiny/refs'))
    await writeFile(join(folder, 'models--someone--tiny/refs/main'), 'abc\n')
    expect(await huggingFaceSnapshot('someone/tiny', 'main', { HF_HUB_CACHE: folder })).toBeUndefined()
    for (const [name, bytes] of Object.entries(MODEL)) await writeFile(join(commit, name), bytes)
    expect(await huggingFaceSnapshot('someone/tiny', 'main', { HF_HUB_CACHE: folder })).toBe(commit)
  })
})

describe('files behind a URL', () => {
  test('are read by ranges', async () => {
    const { model } = await loadModelFiles(urlFiles(`${server.url}/someone/tiny/resolve/main`))
    expect(model.maxPositions).toBe(128)
    model.dispose()
    const source = (await urlSource(`${server.url}/someone/tiny/resolve/main/tokenizer.json`))!
    expect([source.size, await source.read(3, 9)]).toEqual([TOKENIZER.length, TOKENIZER.slice(3, 9)])
    expect(await urlSource(`${server.url}/none`)).toBeUndefined()
    server.status = 503
    await expect(urlSource(`${server.url}/none`)).rejects.toMatchObject({ ...failed, status: 503 })
  })
})

describe('loadModel', () => {
  test('from a folder, with progress; starts a backend', async () => {
    for (const [name, bytes] of Object.entries(MODEL)) await writeFile(join(folder, name), bytes)
    const steps: number[] = []
    const { model } = await loadModel(folder, { onProgress: ({ done, total }) => steps.push(done / total) })
    expect([steps.length, steps.at(-1), engine().backendName]).toEqual([4, 1, 'wasm'])
    model.dispose()
  })
  test('bad paths and files: one sentence that says what to do', async () => {
    for (const path of ['./none', '/none/at/all', 'none.gguf', join(folder, 'x', 'y')])
      await expect(loadModel(path, options)).rejects.toThrow(
        /^There is no '.*': give a folder, a .gguf file, or a repository name \(owner\/name\).$/,
      )
    await expect(loadModel(folder)).rejects.toThrow(/has no config.json: give a folder that holds a model/)
    await writeFile(join(folder, 'empty.gguf'), '')
    await expect(loadModel(join(folder, 'empty.gguf'))).rejects.toMatchObject({ code: 'MODEL_FORMAT' })
    for (const [name, bytes] of Object.entries(MODEL))
      await writeFile(join(folder, name), name === 'model.safetensors' ? bytes.subarray(0, -1) : bytes)
    await expect(loadModel(folder)).rejects.toThrow(/the file is cut short/)
    expect(server.requests).toEqual([])
  })
})
