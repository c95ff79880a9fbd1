/** In Kotlin's library from 1.8 on, before that in kotlin-stdlib-jdk7, which Debian's compiler (1.3) does not bring. */
inline fun <T : AutoCloseable?, R> T.use(block: (T) -> R): R {
    try {
        return block(this)
    } finally {
        this?.close()
    }
}
