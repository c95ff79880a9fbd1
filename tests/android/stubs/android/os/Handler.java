package android.os;

/** What the examples in docs/ call of Android's class of this name, for a compiler without Android's SDK. */
public class Handler {
}
